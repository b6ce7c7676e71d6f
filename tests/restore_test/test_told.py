"""A restore test that cannot begin is told: otherwise a nightly one could fail unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.alerts.sink import AlertSink
from harness.cli import app
from harness.core.errors import HarnessError

CLUSTER = Path(__file__).resolve().parents[2] / "deploy/cluster/restore-test"


def test_a_restore_test_that_cannot_begin_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    declared = (CLUSTER / "estate.toml").read_text().replace("offsite.example:9000", "127.0.0.1:9")
    (tmp_path / "estate.toml").write_text(f'notify = "env:SINK"\n{declared}')
    with AlertSink() as sink:
        monkeypatch.setenv("SINK", sink.url)
        done = CliRunner().invoke(
            app, ["restore-test", "--budgets", str(CLUSTER / "budgets.toml"), "--promise", "restore test"]
        )
        received = sink.received
    assert isinstance(done.exception, HarnessError)
    (line,) = [json.loads(line) for line in done.output.splitlines() if '"told"' in line]
    assert (line["target"], line["delivered"]) == ("env:SINK", True)
    (message,) = received
    assert message.title == "blackstart: UNKNOWN: restore test (example-shop)"
    assert "could not be started" in message.body
