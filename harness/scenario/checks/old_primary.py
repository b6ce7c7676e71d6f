"""Checks of a primary that lived on after clients had lost it."""

from contextlib import suppress

from harness.core.clock import NotYet, wait_until
from harness.core.errors import TookTooLong
from harness.core.journal import Event
from harness.core.record import DrillRecord
from harness.drill.drill import Drill
from harness.patience import PATIENCE
from harness.scenario.checks.verdict import require
from harness.scenario.inside_clients import InsideClients

ENOUGH = 20  # acknowledged writes after which clients have shown who takes them


def event_of(drill: Drill, kind: str) -> Event:
    """Return the last event of a kind; raises Finding when there is none."""
    found = [event for event in drill.journal.events if event.kind == kind]
    require(found, f"no event {kind!r} in the journal")
    return found[-1]


def require_no_write_believed(drill: Drill) -> None:
    """Clients were acknowledged no write that the old primary took after it ran again."""
    again = event_of(drill, "fault undone").at

    def acknowledged() -> tuple[int, ...]:
        return tuple(w.number for w in drill.ledger.ledger.acknowledged() if w.acked is not None and w.acked > again)

    def enough() -> None:
        if (count := len(acknowledged())) < ENOUGH:
            raise NotYet(f"{count} writes acknowledged since the old primary runs again")

    wait_until(enough, patience=PATIENCE.first_writes, what="writes after the old primary runs again")
    believed = sorted(set(acknowledged()) & set(drill.read_old_primary()))
    require(not believed, f"the old primary took writes that clients believe: {', '.join(map(str, believed))}")


def routed_at(drill: Drill) -> float:
    """Return when clients were led to DR, in monotonic seconds; raises Finding when they were not."""
    routed = [event.at for event in drill.journal.events if event.kind == "status" and event.subject == "routing"]
    require(routed, "traffic was not switched")
    return routed[-1]


def require_fenced(drill: Drill, inside: InsideClients) -> None:
    """The old primary was fenced before clients were led to DR, and acknowledges nothing since."""
    require(event_of(drill, "fenced").at < routed_at(drill), "traffic was switched before the old primary was fenced")
    seen = len(inside.acknowledged)

    def one_more() -> None:
        if len(inside.acknowledged) == seen:
            raise NotYet("no further write is acknowledged")

    # The last answer may be an old one: a write to an address that is gone waits for its time limit.
    with suppress(TookTooLong):
        wait_until(one_more, patience=PATIENCE.inside_write, what="a further write inside the old primary")
    further = len(inside.acknowledged) > seen
    require(not further, "the old primary still acknowledges the writes of clients inside it")


def require_diverged_named(record: DrillRecord, inside: InsideClients) -> None:
    """The record names every write that was acknowledged inside the old primary."""
    require(inside.acknowledged, "no write was acknowledged inside the old primary: nothing was shown")
    unnamed = sorted(set(inside.acknowledged) - set(record.diverged))
    require(not unnamed, f"writes that only the old primary took are not in the record: {unnamed[:5]}")
