"""Work of the harness within the time of a recovery: each second once, and none outside that time."""

from __future__ import annotations

import pytest

from harness.core.clock import SYSTEM
from harness.core.journal import Event, MemoryJournal
from harness.core.judge import Phase
from harness.core.overhead import BETWEEN, JOURNAL, OVERHEAD, overhead, overheads

ORIGIN, KEY = 100.0, 110.0
PHASES = (Phase("detect", 0.0, 4.0), Phase("restore", 5.0, 10.0))


def worked(at: float, took: float, what: str = "the strike") -> Event:
    return Event(at, SYSTEM.wall(), OVERHEAD, what, "", {"took_seconds": took})


def parts(events: list[Event], writes: list[tuple[float, float]]) -> dict[str, float]:
    found = overheads(events, writes, PHASES, ORIGIN, KEY)
    return {one.what: one.took_seconds for one in found}


def test_each_second_is_counted_once_and_only_within_the_time_to_recover() -> None:
    assert parts([], []) == {BETWEEN: pytest.approx(1.0)}
    whole = (PHASES[0], Phase("restore", 4.0, 10.0))
    assert overheads([], [], whole, ORIGIN, KEY) == ()
    # A strike that began before the last acknowledged write, and one write of the journal within it.
    assert parts([worked(101.0, 3.0)], [(100.5, 100.7)]) == {
        "the strike": pytest.approx(1.0),
        BETWEEN: pytest.approx(1.0),
    }
    found = parts([worked(101.0, 1.0), worked(103.0, 0.5)], [(104.5, 105.5), (109.9, 111.0), (90.0, 91.0)])
    assert found == {
        "the strike": pytest.approx(1.5),
        JOURNAL: pytest.approx(1.1),
        BETWEEN: pytest.approx(0.5),
    }
    assert parts([worked(99.0, 1.0), worked(112.0, 1.0)], []) == {BETWEEN: pytest.approx(1.0)}


def test_work_is_journalled_with_its_time_and_what_fails_is_not() -> None:
    journal = MemoryJournal()
    with pytest.raises(ValueError, match="lost"), overhead(journal, "the witness"):
        raise ValueError("lost")
    assert not journal.events
    with overhead(journal, "the witness"):
        SYSTEM.sleep(0.02)
    (event,) = journal.events
    assert (event.kind, event.subject) == (OVERHEAD, "the witness")
    assert 0.02 <= float(event.facts["took_seconds"]) < 2.0
    assert journal.writes == ()
