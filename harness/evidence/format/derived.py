"""Parts of a record that its journal gives: whoever has the journal comes to the same ones."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from harness.core.journal import Event
from harness.core.judge import Evidence
from harness.core.judged import DOUBT, FINDING, JUDGED
from harness.core.record import FindingEntry, Judged, KeyResult, SeenMessage, TimeOrigin
from harness.core.sequence import MESSAGES
from harness.evidence.folder import JOURNAL, LEDGER
from harness.evidence.format.record_file import sha256_of
from harness.evidence.journal import head_of

ENDED = "awaits sign-off"  # the kind of the event at whose time a record is finished
KEY_FUNCTION, KEY = "key function", "key"  # the kind of the event of one result; the phase in which they are tried
DUE = timedelta(days=14)  # by when a finding is to be mended


def seen_messages(events: Sequence[Event], origin: float | None = None) -> tuple[SeenMessage, ...]:
    """Return each message of the mission with the moment at which it was first seen, after `origin`."""
    titles = {message.number: message.title for message in MESSAGES}
    first: dict[str, Event] = {}
    for event in events:
        if event.message in titles:
            first.setdefault(event.message, event)
    begin = events[0].at if origin is None and events else origin or 0.0
    return tuple(
        SeenMessage(n, titles[n], e.at - begin, e.wall.isoformat(timespec="milliseconds")) for n, e in first.items()
    )


def origin_of(evidence: Evidence, events: Sequence[Event]) -> TimeOrigin:
    """Return the time origin of a record: the fault, the activation of a restore test, else the first event."""
    at = evidence.origin
    if at is None:
        wall = events[0].wall if events else None
        at, name = (events[0].at if events else None), "opening"
    else:
        name = "activation" if evidence.clients is None else "fault"
        near = min(events, key=lambda event: abs(event.at - at))
        wall = near.wall - timedelta(seconds=near.at - at)
    offset = next((event.facts.get("offset_seconds") for event in events if event.kind == "clock"), None)
    said = wall.isoformat(timespec="milliseconds") if wall else None
    return TimeOrigin(name, said, at, offset if isinstance(offset, float) else None)


def judged_of(evidence: Evidence, folder: Path, count: int, begin: float) -> Judged:
    """Return where the inputs of the judge are. `count`: of the events; `begin`: the origin, in monotonic seconds."""
    clients, ledger = evidence.clients, folder / LEDGER
    struck = clients.struck if clients else None
    return Judged(
        journal_events=count,
        journal_head_sha256=head_of(folder / JOURNAL, count),
        ledger_sha256=sha256_of(ledger) if ledger.exists() else None,
        struck_seconds=None if struck is None else struck - begin,
        witnessed=clients.witnessed if clients else None,
        key_seconds=None if evidence.key is None else evidence.key - begin,
        survivors=len(clients.survivors) if clients and clients.survivors is not None else None,
        missing_files=evidence.missing_files,
        checks=evidence.checks,
    )


def key_results(events: Sequence[Event], begin: float) -> Iterator[KeyResult]:
    """Yield the results of the key functions that were tried last, in the order of the journal."""
    start = max((n for n, event in enumerate(events) if (event.kind, event.subject) == ("begin", KEY)), default=None)
    for event in events[start:] if start is not None else ():
        facts = event.facts
        if event.kind == KEY_FUNCTION:
            service, detail, took = str(facts.get("service")), str(facts.get("detail")), facts.get("took")
            seconds = float(took) if isinstance(took, int | float) else 0.0
            yield KeyResult(event.subject, service, facts.get("passed") is True, detail, seconds, event.at - begin)


def findings_of(reasons: Sequence[str], owner: str, ended: datetime) -> tuple[FindingEntry, ...]:
    """Return what is to be mended, by whom, and when. `ended`: the wall time at which the record was finished."""
    due = (ended + DUE).date().isoformat()
    return tuple(FindingEntry(reason, owner, due) for reason in reasons)


def unmet_in(events: Sequence[Event]) -> tuple[str, ...]:
    """Return what was judged after the record was finished: what its scenario asserted in vain."""
    ended = max((n for n, event in enumerate(events) if event.kind == ENDED), default=len(events))
    judged = [event for event in events[ended:] if event.kind == JUDGED and event.subject in (FINDING, DOUBT)]
    return tuple(str(event.facts.get("line")) for event in judged)
