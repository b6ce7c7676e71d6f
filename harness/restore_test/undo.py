"""What a restore test changes on an existing DR site, in the undo journal, and its undo after the test was killed."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

from pydantic import TypeAdapter, ValidationError

from harness.core.errors import REPORTED, HarnessError, Unreadable, reason_of
from harness.core.service import Place
from harness.estate.config import Config
from harness.estate.existing import connect_site, declared_site, workloads_of
from harness.estate.saved_config import read_saved, saved
from harness.estate.site import DATABASE, INFRASTRUCTURE, STORE
from harness.estate.target_lock import alone_at, dr_target
from harness.patience import PATIENCE
from harness.postgres.identity import system_facts
from harness.recovery.restore_databases import server_data
from harness.repository.catalogue import OpenBackup
from harness.restore_test.cleanup import Snapshot, clear
from harness.restore_test.preflight import require_empty
from harness.restore_test.unused import SLACK, Traces, require_unused
from harness.substrate.common.error_collector import ErrorCollector
from harness.substrate.common.filesystem import make_folder
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.sweep import UNDO
from harness.substrate.embedded.undo_journal import ELSEWHERE, Row, Undo, UndoJournal, last_change, not_undone
from harness.substrate.existing.site import ExistingSite

DECLARATION, BEFORE = "estate.json", "before.json"
SNAPSHOT = TypeAdapter(Snapshot)
EVERY = SLACK.total_seconds() / 3  # seconds between two lines that say that a test goes on


@dataclass(frozen=True, slots=True)
class SiteUndo:
    """The undo of one restore test on an existing site. `logs`: the folder of its logs."""

    journal: UndoJournal
    logs: Path

    @classmethod
    def begin(cls, run: Path, config: Config, logs: Path) -> "SiteUndo":
        """Write down how the site is reached, before anything of it is changed. Raises OSError."""
        _write(make_folder(run / UNDO) / DECLARATION, saved(config))
        return cls(UndoJournal(run), logs)

    def before_restore(self, place: Place, before: Snapshot, backup: OpenBackup) -> str:
        """Write down what the site was before the restore, and return the id. Raises HarnessError, OSError."""
        manifest = backup.manifest
        _write(self.journal.run / UNDO / BEFORE, SNAPSHOT.dump_json(before))
        return self.journal.note(
            Undo.CLEAR,
            site=place.site.name,
            system=system_facts(place.sql).identifier,
            backup=manifest.backup_id,
            databases=[database.name for database in manifest.contents.databases],
            roles=[role.name for role in server_data(backup).roles],
            logs=str(self.logs),
        )


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def alive(run: Path) -> Iterator[None]:
    """Have the undo journal say every 20 seconds that the test goes on: what is made until then may be its own."""
    journal, ended = UndoJournal(run), Event()

    def note() -> None:
        with suppress(HarnessError):  # the next change fails for the same reason, and says so
            while not ended.wait(EVERY):
                journal.note_alive()

    thread = Thread(target=note, name="undo journal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def alone_on_site(run: Path) -> Iterator[None]:
    """Hold the existing site that is to be cleared of a run inside the block; nothing where none is.

    Raises Refused while a restore test is there.
    """
    hold: AbstractContextManager[None] = nullcontext()
    if not_undone(run.resolve(), *ELSEWHERE):
        with suppress(HarnessError):  # `clear_interrupted` raises it, once this machine is swept
            hold = alone_at(dr_target(_declaration(run.resolve())), f"the undo of {run}")
    with hold:
        yield


def clear_interrupted(run: Path) -> tuple[str, ...]:
    """Undo what an interrupted restore test did to an existing site; return a line for each thing that was done.

    Nothing is done when no such change is open. Raises Refused, changing nothing, when the site is not that of the test
    any more or is in use; HarnessError for what is left, which another call tries again.
    """
    run = run.resolve()
    rows = not_undone(run, *ELSEWHERE)
    if not rows:
        return ()
    config = _declaration(run)
    restores = [row for row in rows if row.undo == Undo.CLEAR]
    logs = Path(str(restores[0].facts["logs"])) if restores else run / "logs"
    dr = connect_site(config, str(rows[0].facts["site"]), Embedded(run, logs))
    if not isinstance(dr.site, ExistingSite):
        raise HarnessError(f"{run}: site {dr.site.name} is no existing site")
    dr.site.undo = UndoJournal(run, of_undo=True)
    done: list[str] = []
    if dr.site.serves(DATABASE):
        _require_unused(run, dr.place, restores, store=dr.site.serves(STORE))
    scaled = [row for row in rows if row.undo == Undo.SCALE]
    _scale_down(run, config, [row for row in scaled if row.facts["node"] not in INFRASTRUCTURE], done)
    for row in restores:
        with _scaled_down_after_failure(dr.site):
            dr.activate()  # a server that was scaled down since is needed to remove what it holds
            _require_unused(run, dr.place, [row], store=True)
        names, roles = tuple(map(str, row.facts["databases"])), tuple(map(str, row.facts.get("roles", ())))
        done += clear(dr.place, str(row.facts["backup"]), names, _before(run), roles)
        UndoJournal(run).undone(row.id)
    _scale_down(run, config, not_undone(run, Undo.SCALE), done)
    return tuple(done)


def _declaration(run: Path) -> Config:
    path = run / UNDO / DECLARATION
    try:
        return read_saved(path.read_bytes())
    except (OSError, Unreadable) as error:
        raise HarnessError(f"{path}: {reason_of(error)}; clear the DR site by hand, then remove {run}") from None


def _before(run: Path) -> Snapshot:
    path = run / UNDO / BEFORE
    try:
        return SNAPSHOT.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise HarnessError(f"{path}: {reason_of(error)}; clear the DR site by hand, then remove {run}") from None


def _scale_down(run: Path, config: Config, rows: Sequence[Row], done: list[str]) -> None:
    """Scale the workloads of these rows to 0, and mark each. Raises HarnessError."""
    for row in rows:
        node = str(row.facts["node"])
        workloads_of(declared_site(config, str(row.facts["site"])).cluster).scale(node, 0, PATIENCE.workload_ready)
        UndoJournal(run).undone(row.id)
        done.append(f"{node}: scaled to 0")


@contextmanager
def _scaled_down_after_failure(site: ExistingSite) -> Iterator[None]:
    """Scale down again what was scaled up in the block, when that fails: it was down, and stays as it was found."""
    try:
        yield
    except REPORTED:
        with ErrorCollector().step():  # the first failure is raised; what stays up is in the undo journal
            site.scale_down()
        raise


def _require_unused(run: Path, place: Place, restores: Sequence[Row], *, store: bool) -> None:
    """Raise Refused unless the site is as the test left it. A test that had restored nothing left an empty server."""
    if not restores:
        require_empty(place)
    for row in restores:
        begin = datetime.fromisoformat(str(row.facts["at"]))
        traces = Traces(
            system=str(row.facts["system"]),
            backup=str(row.facts["backup"]),
            databases=frozenset(map(str, row.facts["databases"])),
            before=_before(run),
            begin=begin,
            end=last_change(run) or begin,
        )
        require_unused(place, traces, store=store)
