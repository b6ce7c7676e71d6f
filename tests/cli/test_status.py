"""`blackstart status`: a repository that does not answer is an alarm, told and counted as every other."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.alerts.sink import AlertSink
from harness.cli import app
from harness.core.errors import HarnessError
from harness.estate.state_file import StateFile
from harness.repository.store.directory.marker import mark
from tests.silent_estate import NOWHERE, silent_estate

ALARMS = 'blackstart_backup_alarms{estate="guests"} '
WORDS = ("status", "--alert", "--textfile", "now.prom")


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an estate whose servers do not listen, and with yesterday's textfile: no alarm."""
    silent_estate(tmp_path, "env:NOT_SET", "env:SINK")
    (tmp_path / "now.prom").write_text(f"{ALARMS}0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.patience.PATIENCE.store_absence", 0.2)
    return tmp_path


@pytest.mark.parametrize("lock_days", [0, 7], ids=["status", "source"])  # the lock is asked for before the status
def test_a_repository_that_does_not_answer_is_told_and_counted(
    declared: Path, monkeypatch: pytest.MonkeyPatch, lock_days: int
) -> None:
    with (declared / "estate.toml").open("a") as file:
        file.write(f"lock_days = {lock_days}\n")
    with AlertSink() as sink:
        monkeypatch.setenv("SINK", sink.url)
        done = CliRunner().invoke(app, WORDS)
    assert isinstance(done.exception, HarnessError)
    assert f"store {NOWHERE}" in str(done.exception)
    (alert,) = sink.received
    assert (alert.title, alert.body) == ("Backups of guests", str(done.exception))
    assert "not told to secret env:NOT_SET: environment variable NOT_SET is not set; set it" in done.stderr
    text = (declared / "now.prom").read_text()
    assert f"{ALARMS}1\n" in text
    assert {line.partition("{")[0] for line in text.splitlines() if not line.startswith("#")} == {
        "blackstart_backup_alarms",
        "blackstart_status_timestamp_seconds",
    }


def test_a_textfile_that_cannot_be_written_hides_no_alarm(declared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AlertSink() as sink:
        monkeypatch.setenv("SINK", sink.url)
        done = CliRunner().invoke(app, ("status", "--alert", "--textfile", "absent/now.prom"))
    assert f"store {NOWHERE}" in str(done.exception)
    assert "textfile absent/now.prom: cannot be written" in done.stderr
    assert len(sink.received) == 1


def test_without_alert_nothing_is_sent(declared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AlertSink() as sink:
        monkeypatch.setenv("SINK", sink.url)
        CliRunner().invoke(app, ("status", "--textfile", "now.prom"))
    assert sink.received == ()
    assert f"{ALARMS}1\n" in (declared / "now.prom").read_text()


def test_the_alarm_of_a_standby_is_counted(declared: Path) -> None:
    """It was printed and sent, and Prometheus read of one less."""
    text = (declared / "estate.toml").read_text().partition("[existing.offsite]")[0]
    (declared / "estate.toml").write_text(text.replace("[sites.dr]", '[sites.dr]\nstrategy = "warm"'))
    for name in ("run", "disk"):
        (declared / name).mkdir()
    mark(declared / "disk")
    here = {"run": str(declared / "run"), "logs": str(declared / "logs"), "secrets": str(declared / "secrets")}
    words = {"estate": "guests", "site": "primary", "sql": NOWHERE, "s3": NOWHERE, "offsite": str(declared / "disk")}
    (declared / "live.json").write_text(StateFile(**here, **words, public=NOWHERE, names=NOWHERE, contained=()).text)
    done = CliRunner().invoke(app, ("status", "--live", "live.json", "--textfile", "now.prom"))
    assert done.exit_code == 1, done.exception
    alarms = [line for line in done.stdout.splitlines() if line.startswith("ALARM: ")]
    assert alarms[-1] == "ALARM: the standby would not be promoted: its follower has not begun"
    assert f"{ALARMS}{len(alarms)}\n" in (declared / "now.prom").read_text()
