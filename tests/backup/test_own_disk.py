"""A backup that fails because a disk of this machine is full or read-only is alerted, though nothing can be logged."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag

import pytest
from typer.testing import CliRunner

from harness.alerts.sink import AlertSink
from harness.backup.schedule import fire_once
from harness.cli import app
from harness.evidence.journal import JournalFile
from harness.physical.continuous import follow
from tests.cases.test_full_disk import file_system, fill
from tests.physical.conftest import Archive, archive, recipients, server
from tests.silent_estate import silent_estate

__all__ = ["archive", "recipients", "server"]
FAILED = ("No space left on device", "Read-only file system")


def read_only(folder: Path) -> None:
    """Mount the file system of a folder for reading alone."""
    mount = shutil.which("mount") or "mount"
    subprocess.run([mount, "-o", "remount,ro", str(folder)], check=True)


@pytest.fixture(params=[fill, read_only])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The folder of runs, on a file system that takes nothing."""
    spoil: Callable[[Path], None] = request.param
    with file_system(tmp_path / "disk", 1):
        (tmp_path / "disk/runs").mkdir()
        spoil(tmp_path / "disk")
        yield tmp_path / "disk/runs"


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, disk: Path) -> Iterator[AlertSink]:
    """The target of the alerts of an estate in the working directory, whose runs are on that disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLACKSTART_RUNS", str(disk))
    monkeypatch.setattr("harness.patience.PATIENCE.store_absence", 0.2)
    silent_estate(tmp_path, "env:SINK")
    with AlertSink() as sink:
        monkeypatch.setenv("SINK", sink.url)
        yield sink


@pytest.mark.parametrize("mode", ["logical", "physical"])
def test_a_failed_backup_is_alerted_once(sink: AlertSink, mode: str) -> None:
    done = CliRunner().invoke(app, ("backup", "--mode", mode))
    assert done.exit_code
    assert [one.title for one in sink.received] == ["Backup of guests failed"]
    if mode == "logical":
        assert any(said in sink.received[0].body for said in FAILED)


def test_a_schedule_runs_its_job(disk: Path) -> None:
    ran: list[int] = []
    fire_once("* * * * * *", lambda: ran.append(1), JournalFile(disk / "schedule.jsonl"), 5)
    assert ran == [1]


def test_a_receiver_of_wal_tells_that_its_journal_cannot_be_written(disk: Path, archive: Archive) -> None:
    """It ended with a traceback, and nobody was told."""
    stop, told = Flag(), list[str]()

    def failed(reason: str) -> bool:
        told.append(reason)
        stop.set()
        return True

    follow(replace(archive.receiver(), journal=JournalFile(disk / "wal.jsonl")), stop, failed)
    assert len(told) == 1
    assert any(said in told[0] for said in FAILED)
