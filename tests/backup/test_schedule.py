"""The daily trigger: fires, does not overlap, and survives a failed run."""

from __future__ import annotations

from threading import Event as Flag

import pytest

from harness.backup.schedule import run_schedule
from harness.core.clock import NotYet, wait_until
from harness.core.errors import BackupFailed
from harness.core.journal import MemoryJournal

EVERY_SECOND = "* * * * * *"


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


def test_a_failed_run_is_journalled_and_the_next_one_fires(journal: MemoryJournal) -> None:
    ran: list[int] = []

    def job() -> None:
        ran.append(len(ran))
        if len(ran) == 1:
            raise BackupFailed("pg_dump ended")

    run_schedule(EVERY_SECOND, job, journal, Flag(), runs=2)
    assert len(ran) >= 2
    assert [event.message for event in journal.events if event.kind == "fired"][:2] == ["1.1", "1.1"]
    assert [event.facts["error"] for event in journal.events if event.kind == "log"] == ["pg_dump ended"]


def test_a_run_that_is_due_during_another_is_dropped(journal: MemoryJournal) -> None:
    def until_dropped() -> None:
        def dropped() -> None:
            if "dropped" not in [event.kind for event in journal.events]:
                raise NotYet("no run was dropped")

        wait_until(dropped, patience=10)

    run_schedule(EVERY_SECOND, until_dropped, journal, Flag(), runs=1)
    assert [event.kind for event in journal.events].count("fired") == 1


def test_nothing_is_said_before_it_fires(journal: MemoryJournal) -> None:
    stop = Flag()
    stop.set()
    run_schedule("0 0 0 1 1 *", lambda: None, journal, stop)
    assert not journal.events
