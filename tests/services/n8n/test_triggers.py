"""Every trigger of the installed n8n is classified: it starts by itself and is contained, or it waits for a call."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.parts.programs import program
from harness.services.n8n.contain import STARTS, WAITS

pytestmark = pytest.mark.programs
PACKAGES = ("n8n-nodes-base", "@n8n/n8n-nodes-langchain")
CALLED = {"n8n-nodes-base.webhook"}


@pytest.fixture(scope="module")
def triggers() -> dict[str, bool]:
    """Return the full name of each trigger, and whether it polls."""
    modules = Path(program("n8n")).parents[2]
    found = {}
    for package in PACKAGES:
        for node in json.loads((modules / package / "dist/types/nodes.json").read_text()):
            polls = bool(node.get("polling"))
            if polls or "trigger" in node["group"]:
                found[f"{package}.{node['name']}"] = polls
    return found


def test_each_trigger_is_contained_or_waits_for_a_call(triggers: dict[str, bool]) -> None:
    held = {name for name in triggers if re.search(STARTS, name, re.IGNORECASE) and name not in WAITS}
    assert set(triggers) - held - CALLED <= set(WAITS)
    assert {name for name, polls in triggers.items() if polls} <= held
    assert len(held) > 80


def test_the_exceptions_exist_in_this_version(triggers: dict[str, bool]) -> None:
    assert set(WAITS) <= set(triggers)


@pytest.mark.parametrize(
    "name", ["scheduleTrigger", "cron", "interval", "emailReadImap", "typeformTrigger", "jotFormTrigger", "n8nTrigger"]
)
def test_triggers_with_harmless_names_are_contained(triggers: dict[str, bool], name: str) -> None:
    full = f"n8n-nodes-base.{name}"
    assert full in triggers
    assert re.search(STARTS, full, re.IGNORECASE)
    assert full not in WAITS
