"""Base backups of a schedule: full ones every so many days, incremental ones between where one can be taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from harness.core.clock import SYSTEM, Clock
from harness.core.journal import MemoryJournal
from harness.physical.incremental.due import take_due
from tests.physical.conftest import Archive
from tests.physical.test_incremental import summarize

DAYS = 7


def later(days: float) -> Clock:
    """Return a clock that shows another day."""
    return replace(SYSTEM, wall=lambda: SYSTEM.wall() + timedelta(days=days))


@pytest.fixture
def on(archive: Archive) -> Iterator[Archive]:
    summarize(archive.db)
    yield archive
    summarize(archive.db, "off")


def due(archive: Archive, days: float = 0, full_days: int = DAYS) -> tuple[str, str]:
    """Take what is due so many days from now; return its mode, and why a full one was taken, "" without a reason."""
    journal, repository = MemoryJournal(), replace(archive.repository, clock=later(days))
    receipt = take_due(replace(archive, repository=repository).source, journal, lambda _alarm: None, full_days)
    newest = repository.committed()[0]
    assert newest.backup_id == receipt.backup_id
    reasons = [str(event.facts["reason"]) for event in journal.events if event.subject == "full base backup"]
    return newest.mode, "; ".join(reasons)


def test_a_full_one_is_due_once_in_so_many_days(on: Archive) -> None:
    assert due(on) == ("physical", "there is none of this server")
    assert due(on) == ("incremental", "")
    assert due(on, days=6.9) == ("incremental", "")
    mode, why = due(on, days=7.1)
    assert (mode, "full_days is 7" in why) == ("physical", True)
    assert due(on, days=7.2) == ("incremental", "")


def test_each_one_is_full_without_a_number_of_days(on: Archive) -> None:
    assert [due(on, full_days=0) for _ in range(2)] == [("physical", "")] * 2


def test_a_full_one_is_taken_where_no_incremental_one_can_be(on: Archive) -> None:
    due(on)
    store, layout = on.repository.store, on.repository.layout
    (newest,) = on.repository.committed()
    for one in [*store.list(layout.data(newest.backup_id))]:
        store.delete(one.key)
    mode, why = due(on)
    assert mode == "physical"
    assert newest.backup_id in why
    summarize(on.db, "off")
    mode, why = due(on)
    assert (mode, "summarize_wal is off" in why) == ("physical", True)
