"""Restore of a selected backup on the DR site, message 2.4."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from harness.backup.unpack import Inventory
from harness.core.contents import Contents
from harness.core.errors import REPORTED, HarnessError, RestoreFailed, reason_of
from harness.core.journal import Journal
from harness.core.judged import FINDING
from harness.core.parallel import in_parallel
from harness.core.service import Contained, Place, Service, Sql
from harness.postgres.allowed import NOTHING, Allowed
from harness.postgres.contents.abilities import has_lz4
from harness.postgres.identity import occupied, system_facts
from harness.postgres.restoring.restorer import clerk
from harness.postgres.restoring.toc import adapted
from harness.recovery.consistency import consistency
from harness.recovery.restore_databases import SPOOL, DatabaseRestore, dump_path, require_locks, require_version
from harness.recovery.restore_files import FileRestore
from harness.recovery.restore_server import ServerRestore
from harness.repository.catalogue import OpenBackup

SHOWN = 5  # differences that a message names
MB = 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Restored:
    """Result of a restore. `contents`: of the backup; of a restored server: its databases as they were restored.

    `source`: facts for the record; `left`: the timeline of the primary that a restored server left, 0 without one.
    """

    contents: Contents
    backup_id: str
    size: int
    rows: int
    rpo_met: bool | None  # None without a ledger
    lost_objects: tuple[str, ...]  # files and objects that a database refers to and that the site lacks, a line each
    corrected: tuple[str, ...] = ()  # replicas that differed from the backup and were put right, a line each
    inventories: tuple[Inventory, ...] = field(default=(), repr=False)  # what the archives contained
    findings: tuple[str, ...] = ()  # what could not be restored though all else was, and assertions that failed
    doubts: tuple[str, ...] = ()  # assertions without a result
    assertions: tuple[str, ...] = ()  # what each declared assertion found
    notes: tuple[str, ...] = ()  # further lines for the record
    consistency: tuple[str, ...] = ()  # one line for each pair of stores
    held: tuple[Contained, ...] = ()  # what the restored server must not do before its release
    source: Mapping[str, str | float] = field(default_factory=dict)
    left: int = 0


@dataclass(slots=True)
class Restore:
    """The steps of a restore, in order: prepare, open, execute, check.

    `server`: restores the database server as a whole; the dumps are restored without it, and where it fails.
    """

    place: Place
    services: Sequence[Service]
    backup: OpenBackup
    journal: Journal
    on_bytes: Callable[[int], None]
    parallel: int = 4  # databases at a time
    allowed: Allowed = NOTHING
    server: ServerRestore | None = None
    findings: tuple[str, ...] = ()
    kept: Mapping[str, Collection[str]] = field(default_factory=dict)  # as of FileRestore
    given_up: bool = False  # the server failed: the dumps are still to be opened
    databases: DatabaseRestore = field(init=False)
    files: FileRestore = field(init=False)

    def __post_init__(self) -> None:
        self.databases = DatabaseRestore(self.place, self.backup, self.journal, self.parallel, self.allowed)
        self.files = FileRestore(self.place, self.services, self.backup, self.journal, self.kept)

    @property
    def contents(self) -> Contents:
        """Contents of the backup by its manifest."""
        return self.backup.manifest.contents

    def prepare(self) -> None:
        """Check that the target is another server and empty, and fetch the server-wide data. Raises RestoreFailed."""
        system = system_facts(self.place.sql)
        if system.identifier == self.contents.system.identifier:
            raise RestoreFailed(
                f"the target is system {system.identifier}, the source of the backup; nothing was changed"
            )
        notes = require_version(system, self.contents.system)
        if already := occupied(self.place.sql):
            raise RestoreFailed(f"the target already contains {', '.join(already)}; restore onto an empty server")
        require_locks(self.place.sql, self.contents.databases, self.parallel)
        self.databases.fetch(told=self.server is None)
        if self.server is None:
            self.databases.require_place()  # nothing was fetched or changed until now
        self.databases.notes += notes

    def open(self) -> None:
        """2.4.1: decrypt and decompress dumps or a base backup, and files into their volumes. Raises RestoreFailed."""
        calls = self.files.calls()
        calls |= self._dumps() if self.server is None else {"server": self._open_server}
        in_parallel(calls, limit=self.parallel)
        self.files.settle()

    def _dumps(self) -> dict[str, Callable[[], None]]:
        """Return one call for each dump, which writes it into the spool."""
        spool, lz4 = self.place.site.volume(SPOOL), has_lz4(self.place.sql)
        self.databases.lz4 = lz4

        def dump(path: str) -> None:
            tables: list[str] = []
            with self._in_spool(), spool.open(path, "wb") as target:
                for chunk in adapted(self.backup.read(path), lz4=lz4, changed=tables.append):
                    target.write(chunk)
                    self.on_bytes(len(chunk))
            if tables:
                self.databases.note_compression(path, tables)

        return {d.name: partial(dump, dump_path(d)) for d in self.contents.databases}

    def _open_server(self) -> None:
        if (server := self.server) is not None:
            self._try(lambda: server.open(self.on_bytes))

    def _try(self, step: Callable[[], None]) -> None:
        """Restore the server; where it fails, give it up for the dumps, which is a finding. Raises HarnessError."""
        if (server := self.server) is None:
            return
        try:
            step()
        except REPORTED as error:
            line = f"the server cannot be restored from a base backup, the dumps are restored: {reason_of(error)}"
            self.findings = (*self.findings, *server.findings, line)
            self.journal.mark(FINDING, "restore", reason=line)
            server.clear()
            self.server, self.given_up = None, True

    def execute(self) -> None:
        """2.4.2: restore the server, or roles and then every database; raises RestoreFailed."""
        if self.server is not None:
            self._try(self.server.execute)
        if self.server is None:
            if self.given_up:
                in_parallel(self._dumps(), limit=self.parallel)
            self.databases.execute()

    @contextmanager
    def _in_spool(self) -> Iterator[None]:
        """Raise what cannot be written to the spool as RestoreFailed that says how much the dumps need."""
        try:
            yield
        except OSError as error:
            dumps = {dump_path(database) for database in self.contents.databases}
            need = sum(entry.plain_size for entry in self.backup.manifest.objects if entry.path in dumps)
            raise RestoreFailed(
                f"volume {SPOOL} of {self.place.site.name}: {error.strerror or reason_of(error)}; "
                f"the dumps of this backup need {-(-need // MB)} MB there"
            ) from error

    def wipe(self) -> None:
        """Remove every plaintext dump from the spool, after a failed restore too; raises RestoreFailed."""
        site = self.place.site
        try:
            if self.server is not None:  # no dump was opened
                self.server.wipe()
                return
            spool = site.volume(SPOOL)
            for name in tuple(spool.walk()):
                spool.remove(name)
        except (HarnessError, OSError) as error:
            self.journal.mark("log", "spool not wiped", error=reason_of(error))
            raise RestoreFailed(
                f"volume {SPOOL} of {site.name}: plaintext dumps could not be removed ({reason_of(error)}); remove them"
            ) from error

    def check(self, freshness: Callable[[Sql], bool | None]) -> Restored:
        """Compare every table with the manifest, or read a restored server whole. Raises RestoreFailed."""
        contents, held = self._checked() if self.server is None else self._read(self.server)
        with clerk(self.place.sql) as sql:
            rpo_met = freshness(sql)
            lost = self.files.lost(sql, contents)
        size = sum(d.size for d in contents.databases) + sum(t.size for t in contents.trees)
        server = self.server
        restored = Restored(
            contents,
            self.backup.manifest.backup_id,
            size,
            contents.rows,
            rpo_met,
            lost,
            tuple(self.files.corrected),
            tuple(self.files.inventories),
            findings=self.findings,
            notes=(*(server.notes if server else self.databases.notes), *self.files.notes),
            consistency=consistency(self.services, contents, lost, server.point if server else ""),
            held=held,
            source=server.source if server else {"mode": "logical"},
            left=server.left if server else 0,
        )
        self._tell(restored)
        return restored

    def _checked(self) -> tuple[Contents, tuple[Contained, ...]]:
        """Compare the databases with the manifest, and hold what acts on the outside. Raises RestoreFailed."""
        if wrong := list(self.databases.differences()):
            raise RestoreFailed(f"restored data differ from the backup: {'; '.join(wrong[:SHOWN])}")
        self.databases.note_collations()
        stale, held = self.databases.settle()
        for line in (*self.databases.refused, *stale):
            self.findings = (*self.findings, line)
            self.journal.mark(FINDING, "restore", reason=line)
        return self.contents, held

    def _read(self, server: ServerRestore) -> tuple[Contents, tuple[Contained, ...]]:
        """Return what a restored server has, and what of it is held. Raises RestoreFailed."""
        contents = replace(self.contents, databases=server.check())
        self.findings = (*self.findings, *server.findings)
        return contents, server.held

    def _tell(self, restored: Restored) -> None:
        rpo_met = restored.rpo_met
        self.journal.mark(
            "status",
            "database restore",
            success=True,
            rpo_met="not measured" if rpo_met is None else rpo_met,
            rows=restored.rows,
            size=restored.size,
            mode=restored.source.get("mode", ""),
            lost_objects=len(restored.lost_objects),
            corrected=len(restored.corrected),
        )
