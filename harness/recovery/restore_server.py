"""Restore of the whole database server from a base backup and its WAL, in place of dumps: messages 2.3 to 2.4.2."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from psycopg import sql as compose

from harness.core.contents import Contents, DatabaseFacts
from harness.core.errors import REPORTED, Finding, HarnessError, RestoreFailed, reason_of
from harness.core.journal import Journal
from harness.core.judged import FINDING
from harness.core.node import Volume
from harness.core.parallel import in_parallel
from harness.core.service import Contained, Place
from harness.core.wal import show_lsn
from harness.estate.site import DATA, OWN_FILES
from harness.physical.choice import Wanted, Way, ways
from harness.physical.programs import Programs, programs_of
from harness.physical.restore import fill, replay_way
from harness.physical.server import Connect, Replayed
from harness.physical.target import LATEST, Target
from harness.physical.unpack import made, require_room, set_aside
from harness.postgres import dump
from harness.postgres.identity import catalogue, holds_user_data, system_facts
from harness.postgres.restoring import quiet
from harness.repository.catalogue import Repository
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.reader import WalReader
from harness.substrate.common.filesystem import make_folder, remove_tree, write_to_disk
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.embedded.process_tree import Owner
from harness.vault import read_text_secret

END = Wanted(Target(LATEST))
TRIED = 3  # base backups that are tried, the newest first, before the dumps are restored
SCRATCH = "restored-server"  # folder in a run folder
ENABLED = """
SELECT d.datname, s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
WHERE s.subenabled
"""
CONNECTABLE = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY 1"


@runtime_checkable
class Unpackable(Protocol):
    """A volume into which a folder of this machine can be copied at once."""

    def unpack(self, source: Path) -> None:
        """Copy what is in a folder of this machine into it, with modes. Raises HarnessError."""


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The base backups that may be restored, the newest first. `findings`: what contradicts the archive."""

    ways: tuple[Way, ...] = ()
    findings: tuple[str, ...] = ()


DUMPS = ServerChoice()  # the dumps are restored


def choose_server(repository: Repository, private_pem: str, dumps: Contents) -> ServerChoice:
    """Return the base backups whose WAL reaches beyond the dumps, each up to the first hole in its WAL.

    Without any the dumps are what is proven: a finding says why. Raises HarnessError of the store.
    """
    catalogue_ = repository.catalogue()
    wal = read_wal(repository, dumps.system.identifier)
    found: list[Way] = []
    reasons: list[str] = []
    for entry in catalogue_.entries:
        if not entry.physical or len(found) == TRIED:
            continue
        try:
            wanted = Wanted(END.target, entry.backup_id)
            way = next(ways(repository, catalogue_.entries, wal, private_pem.encode(), wanted))
        except (Finding, HarnessError) as error:
            reasons.append(reason_of(error))
            continue
        if (way.covered_until or way.facts.stopped_at) < dumps.snapshot_at:
            reasons.append(f"{way.name}: its WAL ends at {show_lsn(way.end)}, before the dumps")
        else:
            found.append(way)
    if not found:
        why = "; ".join(reasons) or "none is committed; take one with `blackstart backup`"
        reasons = [f"no base backup can be restored, the dumps are: {why}"]
    return ServerChoice(tuple(found), (*reasons, *wal_findings(repository, wal)))


@dataclass(slots=True)
class ServerRestore:
    """Restores one server. `replace`: changes what the volume of DR's server has while that is down.

    `scratch`: a folder of this machine that a sweep of `run` removes; `way`: the base backup that was restored.
    """

    place: Place
    choice: ServerChoice
    repository: Repository
    private_pem: str = field(repr=False)
    dumps: Contents
    replace: Callable[[Callable[[Volume], None]], None]
    run: Path
    journal: Journal
    parallel: int
    way: Way | None = None
    done: Replayed | None = None
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held: tuple[Contained, ...] = ()
    _disabled: tuple[quiet.Held, ...] = ()  # what a server does by itself once it is started

    @property
    def scratch(self) -> Path:
        """The folder that becomes the volume of DR's server."""
        return self.run / SCRATCH

    def open(self, progress: Callable[[int], None]) -> None:
        """2.4.1: decrypt and decompress the newest base backup that is authentic, and its WAL. Raises RestoreFailed."""
        for way in self.choice.ways:
            try:
                self.way = self._unpack(way, progress)
            except REPORTED as error:
                self._find(f"base backup {way.name} is passed over: {reason_of(error)}")
                continue
            for line in self.way.lost:
                self._find(line)
            return
        raise RestoreFailed("no base backup can be restored")

    def execute(self) -> None:
        """2.4.2: replay the WAL to its end, promote, verify pages, and start DR's server on it. Raises as `open`."""
        way = self.way
        if way is None:
            raise RestoreFailed("no base backup is unpacked")
        folder, programs = self.scratch / DATA, self._programs(way)
        set_aside(folder)
        self.done = replay_way(way, END, folder, programs, self.journal, self._take_over)
        if way.facts.checksums:
            programs.run("pg_checksums", "--check", "-D", str(folder))
            self.journal.mark("verified", "restored server", by="pg_checksums")
        self.replace(self._place)
        self.wipe()
        here = system_facts(self.place.sql)
        if here.identifier != way.backup.manifest.cluster or here.timeline <= way.timeline:
            raise RestoreFailed(
                f"DR's server is system {here.identifier} on timeline {here.timeline}; the restored one is system "
                f"{way.backup.manifest.cluster} on a timeline after {way.timeline}"
            )

    def wipe(self) -> None:
        """Remove the plaintext outside DR's volume."""
        remove_tree(self.scratch)

    def clear(self) -> None:
        """Give DR a new, empty server, after a restore that failed. Raises HarnessError."""
        self.wipe()
        self.replace(lambda volume: volume.remove(DATA))

    def check(self) -> tuple[DatabaseFacts, ...]:
        """Hold what acts on the outside, read every database whole, and return its facts. Raises RestoreFailed."""
        sql, dumped = self.place.sql, {one.name for one in self.dumps.databases}
        names = [
            one.name
            for one in catalogue(sql)
            if one.connectable and one.valid and (one.name in dumped or holds_user_data(sql, one.name))
        ]
        held = in_parallel({name: partial(quiet.hold, sql, name) for name in names}, limit=self.parallel)
        self.held = quiet.contained([*(one for found in held.values() for one in found), *self._disabled])
        facts = in_parallel({name: partial(self._facts, name) for name in names}, limit=self.parallel)
        self._note_state(tuple(facts.values()))
        return tuple(facts.values())

    @property
    def point(self) -> str:
        """The point in time of the restored server, "" before it is restored."""
        return f"WAL up to {show_lsn(self.done.position)}" if self.done is not None else ""

    @property
    def left(self) -> int:
        """The timeline of the primary, which the restored server has left; 0 before it is restored."""
        return self.way.timeline if self.way is not None else 0

    @property
    def source(self) -> Mapping[str, str | float]:
        """Facts of what was restored, for the record."""
        if self.way is None or self.done is None:
            return {}
        last, covered = self.done.last_commit, self.way.covered_until
        return {
            "mode": "physical",
            "base_backup": self.way.name,
            "wal_end": show_lsn(self.way.end),
            "wal_covers_until": covered.isoformat(timespec="milliseconds") if covered else "not known",
            "replayed_to": show_lsn(self.done.position),
            "last_transaction": last.isoformat(timespec="milliseconds") if last else "before the base backup",
        }

    def _unpack(self, way: Way, progress: Callable[[int], None]) -> Way:
        """Unpack a base backup and its WAL; return the way that is left of it. Raises RestoreFailed, HarnessError."""
        if way.facts.tablespaces:
            raise RestoreFailed('tablespaces are not restored onto a DR site; set [backup] mode = "logical"')
        remove_tree(self.scratch)
        folder = make_folder(self.scratch) / DATA
        require_room(folder, way.size())
        with made(folder):
            reader = WalReader(self.repository, self.private_pem.encode())
            left = fill(way, reader, folder, self._programs(way), self.journal, progress)
            if left.lost and left.facts.stopped_at < self.dumps.snapshot_at:
                raise RestoreFailed(f"{left.lost[-1]}; what is left may end before the dumps")
        return left

    def _programs(self, way: Way) -> Programs:
        return programs_of(way.backup.manifest.contents.system.major, Owner(self.run, "dr/replay").tags)

    def _take_over(self, connect: Connect) -> None:
        """Give the superuser of DR its own password, disable subscriptions and jobs, before DR's server is started."""
        role, reference = self.place.sql.user, self.place.sql.password_ref
        with connect("template1") as connection:
            password = read_text_secret(reference).encode()
            verifier = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
            known = connection.execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", (role,)).fetchone()
            word = "ALTER" if known is not None else "CREATE"
            statement = compose.SQL(word + " ROLE {} SUPERUSER LOGIN PASSWORD {} VALID UNTIL 'infinity'")
            connection.execute(statement.format(compose.Identifier(role), compose.Literal(verifier)))
            rows = connection.execute(ENABLED).fetchall()
            names = [str(name) for (name,) in connection.execute(CONNECTABLE).fetchall()]
        self._disabled = tuple(quiet.Held(str(database), "subscription", str(name)) for database, name in rows)
        for one in self._disabled:
            with connect(one.database) as connection:
                connection.execute(compose.SQL("ALTER SUBSCRIPTION {} DISABLE").format(compose.Identifier(one.name)))
        for name in names:
            with connect(name) as connection:
                self._disabled += quiet.hold_jobs_alone(connection, name)

    def _place(self, volume: Volume) -> None:
        """Put the restored data folder into DR's volume, with the settings that DR's own server had."""
        folder = self.scratch / DATA
        for name in OWN_FILES:
            with volume.open(f"{DATA}/{name}", "rb") as source:
                (folder / name).write_bytes(source.read())
        if not isinstance(volume, Unpackable):
            raise HarnessError(f"{self.place.site.name}: no data folder can be put into its volume")
        volume.remove(DATA)
        if isinstance(volume, FolderVolume):
            volume.adopt(self.scratch)
            write_to_disk(volume.root / DATA)  # as durable as what a server has written
        else:
            volume.unpack(self.scratch)

    def _facts(self, name: str) -> DatabaseFacts:
        try:
            with dump.open_snapshot(self.place.sql, name) as snapshot:
                return dump.facts(snapshot, "")
        except Finding as error:
            raise RestoreFailed(f"database {name} of the restored server cannot be read: {error}") from error

    def _note_state(self, found: Sequence[DatabaseFacts]) -> None:
        """Note what was restored, and what is the same as in the dumps, which are older."""
        if self.way is None or self.done is None:
            return
        if self.done.collations:
            self._find(f"other version of the collation, REINDEX before use: {', '.join(self.done.collations)}")
        end = f"WAL up to {show_lsn(self.done.position)} on timeline {self.way.timeline}"
        self._note(f"databases are from base backup {self.way.name} and {end}, not from the dumps")
        now = {(one.name, table.name): table for one in found for table in one.tables}
        then = {(one.name, table.name): table for one in self.dumps.databases for table in one.tables}
        same = sum(now.get(name) == table for name, table in then.items())
        self._note(f"{same} of {len(then)} tables are as in the dumps of before, the others were written to since")
        gone = [f"table {table} of {database}" for database, table in then if (database, table) not in now]
        if gone:
            self._note(f"in the dumps, and dropped before the end of the WAL: {', '.join(gone)}")

    def _note(self, line: str) -> None:
        self.notes = (*self.notes, line)
        self.journal.mark("log", "restore", note=line)

    def _find(self, line: str) -> None:
        self.findings = (*self.findings, line)
        self.journal.mark(FINDING, "restore", reason=line)
