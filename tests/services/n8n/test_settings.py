"""Every setting of the sites that blackstart makes is one that the installed n8n reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.parts.programs import program
from harness.services.n8n.app import SETTINGS, VOLATILE, N8n

pytestmark = pytest.mark.programs
OF_NODE = {"NODE_ENV", "NODE_OPTIONS"}
STARTS_COMPACTION = "WorkflowHistoryCompactionService).init()"


@pytest.fixture(scope="module")
def modules() -> Path:
    return Path(program("n8n")).parents[2]


def test_n8n_knows_each_setting(modules: Path) -> None:
    """One that it does not know is passed over in silence."""
    folders = (modules / "@n8n/config/dist", modules / "@n8n/backend-common/dist")
    source = "".join(file.read_text() for folder in folders for file in folder.rglob("*.js"))
    unknown = {name for name in SETTINGS if f"'{name}'" not in source}
    assert unknown == OF_NODE


def test_versions_of_workflows_stay_at_a_start_and_may_go_on_an_existing_site(modules: Path) -> None:
    assert STARTS_COMPACTION in (modules / "n8n/dist/commands/start.js").read_text()
    assert SETTINGS["N8N_WORKFLOW_HISTORY_COMPACTION_SKIP_ON_START_UP"] == "true"
    assert "public.workflow_history" in N8n().sources().volatile == VOLATILE
