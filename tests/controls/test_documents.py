"""The declarations in docs/REPORTS.md are read by the parsers that they are for."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from harness.controls.declared import read_declared
from harness.estate.notify_config import NotifyTable

TEXT = (Path(__file__).resolve().parents[2] / "docs/REPORTS.md").read_text()
NOTIFY, CONTROLS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_the_example_of_notify_is_read() -> None:
    table = NotifyTable.model_validate(tomllib.loads(NOTIFY)["notify"])
    assert table.of("broken") == ("env:OPS_CHAT", "file:/secrets/pager")
    assert table.heartbeat == "env:HEARTBEAT_URL"


def test_the_example_of_controls_is_read(tmp_path: Path) -> None:
    file = tmp_path / "controls.toml"
    file.write_text(CONTROLS)
    declared = read_declared(file, file, datetime(2026, 5, 1, tzinfo=UTC))
    assert [one.by for one in declared.exempts] == ["Ada Lovelace"]
    assert declared.intervals["NIST-CP-9"].days == 31
