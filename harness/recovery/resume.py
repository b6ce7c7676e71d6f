"""Resume of interrupted work: its run is cleared, its record is continued, its clock goes on from its begin."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.core.errors import HarnessError, Refused, UsageError
from harness.core.journal import Event
from harness.core.judged import PROMISED, promise_in, since_promise
from harness.evidence.folder import INPUTS, JOURNAL, RecordFolder, is_concluded
from harness.evidence.journal import JournalFile
from harness.evidence.record import RecordHeader
from harness.evidence.time_server import measured_offset
from harness.recovery.begun import RESUMED, Begun, begun_in, elapsed
from harness.recovery.recover import Recorded
from harness.substrate.embedded.undo_journal import harness_of
from harness.substrate.sweep import sweep_run


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
    if (pid := harness_of(run)) is not None:
        raise Refused(f"{run}: in use by process {pid}; wait for its end, or end it")
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

    The budgets are those that were promised at the begin. Raises HarnessError, Unreadable for a journal that was
    changed.
    """
    folder = RecordFolder(begun.record)
    journal = JournalFile(folder.path / JOURNAL, listener=listener)
    journal.resume()
    gone = elapsed(begun, journal.events, _offset(header.time_server))
    journal.clock = gone.clock
    sweep_run(run, resumed=True)
    if any(event.kind == PROMISED for event in journal.events):
        promised = promise_in(since_promise(journal.events)[0].facts)
        kept = {
            path.relative_to(folder.path / INPUTS).as_posix(): path.read_bytes()
            for path in sorted((folder.path / INPUTS).rglob("*"))
            if path.is_file()
        }
        header = replace(header, promise=promised, inputs=kept)
    journal.mark(RESUMED, begun.work, since_begin=round(gone.seconds, 3), by=gone.by)
    return Recorded(header, folder, journal)


def _offset(server: str) -> float | None:
    try:
        return measured_offset(server) if server else None
    except HarnessError:
        return None  # wall time is used as it is, and the event says so
