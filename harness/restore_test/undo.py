"""What a restore test changes on an existing DR site, in the undo journal, and its undo after the test was killed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Refused, Unreadable, reason_of
from harness.core.service import Place
from harness.estate.config import Config
from harness.estate.existing import connect_site, declared_site, workloads_of
from harness.estate.saved_config import read_saved, saved
from harness.estate.site import DATABASE, INFRASTRUCTURE
from harness.patience import PATIENCE
from harness.postgres.identity import ask, system_facts
from harness.repository.format.manifest import Manifest
from harness.restore_test.cleanup import Snapshot, clear
from harness.restore_test.preflight import require_empty
from harness.substrate.common.filesystem import make_folder
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.sweep import UNDO
from harness.substrate.embedded.undo_journal import ELSEWHERE, Row, Undo, UndoJournal, journalled, not_undone
from harness.substrate.existing.site import ExistingSite

DECLARATION, BEFORE = "estate.json", "before.json"
SNAPSHOT = TypeAdapter(Snapshot)
# Seconds since each database was made: its folder gets this file then, and keeps it. Those of other tablespaces are
# not found there, and are not dropped without their age.
AGES = """
SELECT d.datname, extract(epoch FROM now() - f.modification)
FROM pg_catalog.pg_database d, pg_catalog.pg_stat_file('base/' || d.oid || '/PG_VERSION', true) f
WHERE d.datname <> 'template0'
"""
SLACK = timedelta(minutes=1)  # between the last line of the journal and a database that was made after it


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

    def before_restore(self, place: Place, before: Snapshot, manifest: Manifest) -> str:
        """Write down what the site was before the restore, and return the id. Raises HarnessError, OSError."""
        _write(self.journal.run / UNDO / BEFORE, SNAPSHOT.dump_json(before))
        return self.journal.note(
            Undo.CLEAR,
            site=place.site.name,
            system=system_facts(place.sql).identifier,
            backup=manifest.backup_id,
            databases=[database.name for database in manifest.contents.databases],
            logs=str(self.logs),
        )


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def clear_interrupted(run: Path) -> tuple[str, ...]:
    """Undo what an interrupted restore test did to an existing site; return a line for each thing that was done.

    Nothing is done when no such change is open. Raises Refused, changing nothing, when the site is not that of the test
    any more or is in use; HarnessError for what is left, which another call tries again.
    """
    run = run.resolve()
    rows = not_undone(run, *ELSEWHERE)
    if not rows:
        return ()
    config, last = _declaration(run), max(_times(run))
    restores = [row for row in rows if row.undo == Undo.CLEAR]
    logs = Path(str(restores[0].facts["logs"])) if restores else run / "logs"
    dr = connect_site(config, str(rows[0].facts["site"]), Embedded(run, logs))
    done: list[str] = []
    if isinstance(dr.site, ExistingSite) and dr.site.serves(DATABASE):
        _require_unused(run, dr.place, restores, last)
    scaled = [row for row in rows if row.undo == Undo.SCALE]
    _scale_down(run, config, [row for row in scaled if row.facts["node"] not in INFRASTRUCTURE], done)
    for row in restores:
        dr.activate()  # a server that was scaled down since is needed to remove what it holds
        _require_unused(run, dr.place, [row], last)
        names = tuple(map(str, row.facts["databases"]))
        done += clear(dr.place, str(row.facts["backup"]), names, _before(run))
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


def _times(run: Path) -> list[datetime]:
    return [datetime.fromisoformat(str(row.facts["at"])) for row in journalled(run) if "at" in row.facts]


def _require_unused(run: Path, place: Place, restores: Sequence[Row], last: datetime) -> None:
    """Raise Refused unless the site is as the test left it: a recovery may have been made there since.

    `last`: when the test made its last change. A test that had restored nothing left an empty server.
    """
    if not restores:
        require_empty(place)
    for row in restores:
        if (found := system_facts(place.sql).identifier) != row.facts["system"]:
            raise Refused(
                f"site {place.site.name}: is system {found} by now, the interrupted test was on {row.facts['system']}; "
                f"nothing was removed there. If that site is gone, remove {run}"
            )
        earlier, restored = _before(run).server.names, frozenset(map(str, row.facts["databases"]))
        for name, age in ask(place.sql, AGES):
            made = None if age is None else SYSTEM.wall() - timedelta(seconds=float(str(age)))
            if name in earlier or (name in restored and made is not None and made < last + SLACK):
                continue
            when = "at an unknown time" if made is None else f"at {made.isoformat(timespec='seconds')}"
            raise Refused(
                f"database {name} at {place.sql.outside}: is not the interrupted test's, whose last change was at "
                f"{last.isoformat(timespec='seconds')}: it was made {when}; nothing was removed. Drop it by hand if "
                "nobody needs it"
            )
