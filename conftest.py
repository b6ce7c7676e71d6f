"""The drills are the features: `pytest features/` collects them. Steps and fixtures are one plugin."""

from __future__ import annotations

pytest_plugins = ("fixtures.plugin",)
