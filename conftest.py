"""The drills are the features: `pytest features/` collects them; steps and fixtures are plugins, by name."""

from __future__ import annotations

# Not "fixtures" or "steps" as a whole: pytest has a built-in plugin called `fixtures` and would load its own.
pytest_plugins = (
    "fixtures.gherkin",
    "fixtures.allure_run",
    "fixtures.allure_gherkin",
    "fixtures.capabilities",
    "fixtures.settings",
    "fixtures.outcome",
    "fixtures.drill",
    "fixtures.independent",
    "steps.drill",
    "steps.backup",
    "steps.recovery",
    "steps.refusals",
    "steps.faults",
    "steps.kubernetes",
    "steps.existing",
    "steps.kubernetes_jobs",
)
