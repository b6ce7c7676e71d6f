"""A restore test that cannot begin is told: otherwise a nightly one could fail unseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.alerts.sink import AlertSink
from harness.cli import app
from harness.core.errors import HarnessError
from tests.cases.production import DECLARATION
from tests.silent_estate import NOWHERE

CLUSTER = Path(__file__).resolve().parents[2] / "deploy/cluster/restore-test"
Spoil = Callable[[Path, pytest.MonkeyPatch], None]


def no_key(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLACKSTART_RECORD_KEY", "file:/gone")


def no_approval(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "drill.toml").write_text('approval = "required"\n')


def no_budgets(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "budgets.toml").unlink()


def bad_drill_file(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "drill.toml").write_text("approval = maybe\n")


def no_site(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "estate.toml").write_text(f'notify = "env:SINK"\n{DECLARATION.format(offsite=NOWHERE, read_only="true")}')


def no_server(_folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    """What is declared is right, and its store does not answer: found after the test began."""


@pytest.mark.parametrize(
    ("spoil", "more", "said"),
    [
        (no_key, (), "/gone"),
        (no_approval, (), "nobody approved this run; add --approver NAME"),
        (no_budgets, (), "budgets.toml"),
        (bad_drill_file, (), "drill.toml"),
        (no_site, (), "declares no DR site under [existing.dr]"),
        (no_server, ("--promise", "another"), "another"),
        (no_server, ("--substrate", "cloud"), "--substrate cloud: write embedded, docker, kind, existing"),
        (no_server, (), ""),
    ],
)
def test_a_restore_test_that_cannot_begin_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, more: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    declared = (CLUSTER / "estate.toml").read_text().replace("offsite.example:9000", NOWHERE)
    (tmp_path / "estate.toml").write_text(f'notify = "env:SINK"\n{declared}')
    shutil.copy2(CLUSTER / "budgets.toml", tmp_path)
    spoil(tmp_path, monkeypatch)
    with AlertSink() as sink:
        monkeypatch.setenv("SINK", sink.url)
        words = ("restore-test", "--budgets", "budgets.toml", "--promise", "restore test", *more)
        done = CliRunner().invoke(app, words)
        received = sink.received
    assert isinstance(done.exception, HarnessError)
    assert said in str(done.exception)
    (line,) = [json.loads(line) for line in done.output.splitlines() if '"told"' in line]
    assert (line["target"], line["delivered"]) == ("env:SINK", True)
    (message,) = received
    name = "guests" if spoil is no_site else "example-shop"
    assert message.title == f"blackstart: UNKNOWN: restore test ({name})"
    assert f"It could not be started: {done.exception}\n" in message.body
