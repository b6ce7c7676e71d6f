"""When work that can be resumed began, by which clock, and with which options: a line of the undo journal of its run.

The RTO of resumed work counts from its begin. In the same boot the time since then is that of CLOCK_BOOTTIME: nobody
sets it, unlike the wall clock, and unlike the monotonic clock it goes on while the machine sleeps. After a reboot it
began anew, so that wall time is used, corrected by the offsets that the time server showed then and now: without those
it is no measurement.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import Unreadable
from harness.core.journal import Event
from harness.substrate.common.filesystem import make_folder
from harness.substrate.embedded.process_tree import boot
from harness.substrate.embedded.undo_journal import Undo, UndoJournal, journalled

DECLARED = "declared"  # the kind of the event with which it begins
BOOT_CLOCK, WALL = "the clock since boot", "wall time"


@dataclass(frozen=True, slots=True)
class Begun:
    """Work that began. `record`: the folder of its record; `monotonic`, `since_boot`: seconds, `wall`: UTC, then."""

    work: str
    record: Path
    given: Mapping[str, str]
    wall: datetime
    monotonic: float
    since_boot: float
    of_boot: str


def since_boot() -> float:
    """Return the seconds since the machine was started, those in which it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def note_begun(run: Path, work: str, record: Path, given: Mapping[str, str]) -> None:
    """Write down that this process works in a run folder, which is made, and that the work begins: that only once.

    Raises HarnessError, OSError.
    """
    journal = UndoJournal(make_folder(run))
    journal.note_harness()  # before it starts any process: nobody sweeps the run of a living harness
    if begun_in(run) is not None:
        return
    journal.note(
        Undo.RUN,
        work=work,
        record=str(record),
        given=dict(given),
        monotonic=SYSTEM.monotonic(),
        since_boot=since_boot(),
        of_boot=boot(),
    )


def begun_in(run: Path) -> Begun | None:
    """Return the work that began in a run folder, None where it cannot be resumed.

    Raises Unreadable for a line of another form.
    """
    for row in journalled(run):
        if row.undo == Undo.RUN and "work" in row.facts:
            try:
                return _begun(row.facts)
            except (LookupError, ValueError, TypeError, AttributeError) as error:
                raise Unreadable(
                    f"{run}: its journal was changed: it does not say how the work began ({type(error).__name__}: "
                    f"{error}); `blackstart sweep` the run, and begin anew"
                ) from None
    return None


def _begun(facts: Mapping[str, Any]) -> Begun:
    wall = datetime.fromisoformat(facts["at"])
    monotonic, booted = float(facts["monotonic"]), float(facts["since_boot"])
    if wall.tzinfo is None or not (isfinite(monotonic) and isfinite(booted)):
        raise ValueError("a time that is none")
    given = {str(key): str(value) for key, value in facts["given"].items()}
    return Begun(str(facts["work"]), Path(str(facts["record"])), given, wall, monotonic, booted, str(facts["of_boot"]))


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The time since work began. `by`: the clock that measured it; `clock`: goes on from the record's own times."""

    seconds: float
    by: str
    clock: Clock


def elapsed(begun: Begun, events: tuple[Event, ...], offset: float | None) -> Elapsed:
    """Return the time since work began, and the clock of its record. `offset`: of the wall clock now, in seconds.

    It is never less than the journal of its record says already, however the wall clock was set.
    """
    if boot() == begun.of_boot:
        by, seconds = BOOT_CLOCK, since_boot() - begun.since_boot
    else:
        by, seconds = WALL, (SYSTEM.wall() - begun.wall).total_seconds()
        then = next((event.facts.get("offset_seconds") for event in events if event.kind == "clock"), None)
        if offset is not None and isinstance(then, float):
            by, seconds = f"{WALL}, corrected by the time server", seconds + offset - then
    seconds = max(seconds, *(event.at - begun.monotonic for event in events[-1:]), 0.0)
    shift = begun.monotonic + seconds - SYSTEM.monotonic()
    return Elapsed(seconds, by, replace(SYSTEM, monotonic=lambda: SYSTEM.monotonic() + shift))
