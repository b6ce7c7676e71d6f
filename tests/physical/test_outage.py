"""An outage of the archive of WAL is told: once where that can be delivered, else again after a while."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from threading import Event as Flag

import pytest
from typer.testing import CliRunner

from harness.alerts.sink import AlertSink
from harness.cli import app
from harness.core.clock import SYSTEM
from harness.core.journal import Event, MemoryJournal
from harness.estate.config import load_config
from harness.evidence.journal import JournalFile
from harness.physical import continuous
from harness.physical.receive import Receiver
from harness.physical.source import source_of
from tests.silent_estate import silent_estate

BUSY, LAST = 503, 3  # status of a target that refuses; the attempt after which the receiver is ended
GONE = "secret env:GONE: environment variable GONE is not set; set it"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The receiver tries again soon; its handlers of signals are undone afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(continuous, "PAUSES", (0.05, 0.05, 0.05, 30.0))
    monkeypatch.setattr(continuous, "AGAIN", 0.0)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Busy(AlertSink):
    """A target that refuses its first alerts."""

    def __init__(self, refused: int) -> None:
        super().__init__()
        self.refused = refused

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        self.refused -= 1
        return BUSY if self.refused >= 0 else super().take(headers, body)


def alerts_of_an_outage(folder: Path, *alerts: str) -> list[dict[str, object]]:
    """Archive a server that does not listen until the last attempt; return what the journal says of the alerts."""

    def ended(event: Event) -> None:
        if event.facts.get("attempt") == LAST:
            os.kill(os.getpid(), signal.SIGINT)

    config = load_config(silent_estate(folder, *alerts))
    journal = JournalFile(folder / "wal.jsonl", listener=ended)
    continuous.archive(config, source_of(config, folder / "none", ""), journal)
    assert [event.facts["attempt"] for event in journal.events if event.kind == "log"] == [1, 2, LAST]
    return [dict(event.facts) for event in journal.events if event.kind == "alert"]


@pytest.mark.parametrize("refused", [0, 1, LAST])
def test_it_is_told_again_until_it_was_delivered(refused: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Busy(refused) as sink:
        monkeypatch.setenv("SINK", sink.url)
        said = alerts_of_an_outage(tmp_path, "env:SINK")
    assert [one["sent"] for one in said] == ([False] * refused + [True])[:LAST]
    assert all("env:SINK (answered with 503)" in str(one["error"]) for one in said[:refused])
    assert [one.title for one in sink.received] == ["WAL of guests is not shipped"][: LAST - refused]


def test_one_target_that_was_told_is_enough_and_the_other_is_journalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AlertSink() as sink:
        monkeypatch.setenv("SINK", sink.url)
        said = alerts_of_an_outage(tmp_path, "env:GONE", "env:SINK")
    assert said == [{"sent": True, "targets": 1, "failed": GONE}]
    assert len(sink.received) == 1


def test_without_targets_that_is_said_once_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert alerts_of_an_outage(tmp_path) == [{"sent": False, "targets": 0}]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(continuous, "follow", lambda *_: None)
    done = CliRunner().invoke(app, ("wal", "receive"))
    assert done.exit_code == 0, done.exception
    assert "wal: nobody is told of an outage; name targets in backup.alerts" in done.stderr.splitlines()


def test_the_next_outage_is_told_as_well(tmp_path: Path) -> None:
    """By a clock on which each attempt has received for longer than the longest pause."""
    stop, told = Flag(), list[str]()

    def failed(reason: str) -> bool:
        told.append(reason)
        if len(told) == LAST:
            stop.set()
        return True

    source = source_of(load_config(silent_estate(tmp_path)), tmp_path / "none", "")
    receiver = Receiver(source.sql, source.repository, source.keys, source.slot, MemoryJournal())
    clock = replace(SYSTEM, monotonic=count(0.0, 40.0).__next__)
    continuous.follow(replace(receiver, clock=clock), stop, failed)
    assert len(told) == LAST


@pytest.mark.parametrize(("seconds", "alerts"), [(5.0, 1), (15.0, 2), (30.0, 3)])
def test_what_nobody_was_told_is_told_again_after_a_minute_and_not_at_each_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, alerts: int
) -> None:
    """Each attempt waited for every target that did not answer. Of some seconds each, by a clock that tells them."""
    monkeypatch.setattr(continuous, "AGAIN", 60.0)
    now, told, attempts = [0.0], list[float](), list[object]()

    class Stop(Flag):
        def wait(self, timeout: float | None = None) -> bool:
            now[0] += seconds
            return super().wait(0.0)

    def ended(event: Event) -> None:
        attempts.append(event.facts["attempt"])
        if len(attempts) == 2 * LAST:
            stop.set()

    def failed(_: str) -> bool:
        told.append(now[0])
        now[0] += 90.0  # three targets that do not answer
        return False

    stop = Stop()
    source = source_of(load_config(silent_estate(tmp_path)), tmp_path / "none", "")
    journal = JournalFile(tmp_path / "wal.jsonl", listener=ended)
    receiver = Receiver(source.sql, source.repository, source.keys, source.slot, journal)
    continuous.follow(replace(receiver, clock=replace(SYSTEM, monotonic=lambda: now[0])), stop, failed)
    assert attempts == [1, 2, 3, 4, 5, 6]
    assert len(told) == alerts
    assert all(later - earlier >= 90.0 + 60.0 for earlier, later in pairwise(told))
