"""Resume of interrupted work: its run is cleared, its record is continued, its clock goes on from its begin."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.core.errors import HarnessError, Refused, UsageError
from harness.core.journal import FAILED, RESUMED, Event, Journal
from harness.core.judged import DOUBT, FINDING, PROMISED, noted_in, promise_in, since_promise
from harness.evidence.folder import INPUTS, JOURNAL, RecordFolder, is_concluded
from harness.evidence.format.repeated import stated_in
from harness.evidence.journal import JournalFile
from harness.evidence.record import RecordHeader
from harness.evidence.time_server import measured_offset
from harness.recovery.begun import WALL, Begun, begun_in, elapsed
from harness.recovery.recover import NAME, Recorded
from harness.recovery.recovery import may_serve
from harness.substrate.embedded.undo_journal import harness_of
from harness.substrate.sweep import sweep_run

NOT_MEASURED = "time since the begin: by this machine's wall clock alone, after a reboot"


def require_resumable(run: Path) -> Begun:
    """Return the work that was interrupted in a run folder. Raises UsageError, Refused where it cannot be resumed."""
    if not run.is_dir():
        raise UsageError(f"{run}: no such run; a run that was swept cannot be resumed, begin anew")
    begun = begun_in(run)
    if begun is None:
        raise UsageError(
            f"{run}: no recovery and no restore test; a drill cannot be resumed, because its clients and their ledger "
            "ended with it: `blackstart sweep` it, and run it again"
        )
    if is_concluded(begun.record):
        raise UsageError(f"{run}: its {begun.work} has ended, see {begun.record}; there is nothing to resume")
    if (harness := harness_of(run)) is not None:
        raise Refused(f"{run}: in use by process {harness.pid}; wait for its end, or `blackstart abort {run}`")
    if not (begun.record / JOURNAL).is_file():
        raise UsageError(f"{begun.record}: its journal is gone; `blackstart sweep` the run, and begin anew")
    return begun


def require_unchanged(begun: Begun, declaration: Path) -> None:
    """Raise UsageError when the declaration is another one than that of the begin."""
    kept = begun.record / INPUTS / declaration.name
    if kept.is_file() and (not declaration.is_file() or kept.read_bytes() != declaration.read_bytes()):
        raise UsageError(
            f"{declaration}: was changed since the {begun.work} began; put it back (it is {kept}), or "
            "`blackstart sweep` the run and begin anew"
        )


def continued(run: Path, begun: Begun, header: RecordHeader, listener: Callable[[Event], None]) -> Recorded:
    """Clear what the interrupted work made on this machine, and return its record, which is continued.

    The budgets are those that were promised at the begin. What was noted before is judged with what comes. Raises
    HarnessError, Unreadable for a journal that was changed, Refused for a recovery whose site clients may use.
    """
    folder = RecordFolder(begun.record)
    journal = JournalFile(folder.path / JOURNAL, listener=listener)
    journal.resume()
    if begun.work == NAME:
        _require_unswitched(run, begun, journal.events)
    if any(event.kind == PROMISED for event in journal.events):
        stated = since_promise(journal.events)[0].facts
        kept = {
            path.relative_to(folder.path / INPUTS).as_posix(): path.read_bytes()
            for path in sorted((folder.path / INPUTS).rglob("*"))
            if path.is_file()
        }
        header = replace(header, promise=promise_in(stated), inputs=kept, **stated_in(stated))
    gone = elapsed(begun, journal.events, _offset(header.time_server))
    journal.clock = gone.clock
    sweep_run(run, resumed=True)
    journal.mark(RESUMED, begun.work, since_begin=round(gone.seconds, 3), by=gone.by)
    _note_unjudged(begun.work, journal)
    if gone.by == WALL:
        _note(DOUBT, begun.work, NOT_MEASURED, journal)
    return Recorded(header, folder, journal)


def _require_unswitched(run: Path, begun: Begun, events: tuple[Event, ...]) -> None:
    if may_serve(events):
        raise Refused(
            f"{run}: traffic was being switched to this DR site, and clients may have written to it since; use the "
            f"site as it is (state file: {begun.given.get('at')}). If nobody needs those writes, `blackstart sweep "
            f"{run}` and recover anew"
        )


def _note_unjudged(work: str, journal: Journal) -> None:
    """Note what was seen before the interruption and was to be judged at the end."""
    events = journal.events
    for event in events:
        if event.kind in (FINDING, DOUBT) and "reason" in event.facts:
            _note(event.kind, work, str(event.facts["reason"]), journal)
    for number, event in enumerate(events):
        later = events[number:]
        if event.kind == FAILED and not (noted_in(later, FINDING) or noted_in(later, DOUBT)):
            said = f"phase {event.subject} had failed before the interruption: {event.facts.get('error')}"
            _note(DOUBT, work, said, journal)


def _note(kind: str, work: str, line: str, journal: Journal) -> None:
    if line not in noted_in(journal.events, kind):  # a run may be killed and resumed again
        journal.mark(kind, work, error=line)


def _offset(server: str) -> float | None:
    try:
        return measured_offset(server) if server else None
    except HarnessError:
        return None  # wall time is used as it is: the event says so, and a doubt after a reboot
