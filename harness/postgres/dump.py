"""Dumps: one snapshot for each database; its facts are counted in the same snapshot."""

import re
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Event, Timer

import psycopg

from harness.core.clock import SYSTEM, Clock
from harness.core.contents import DatabaseFacts, SequenceFacts
from harness.core.errors import BackupFailed, HarnessError
from harness.core.node import Running, Site, Task
from harness.core.service import Sql
from harness.on_disk import Names
from harness.patience import PATIENCE
from harness.postgres import facts as figures
from harness.postgres.client import client_task, how_it_ended
from harness.postgres.contents import rows
from harness.postgres.contents.locks import TIMED_OUT, blocker, take_snapshot
from harness.postgres.contents.properties import read_not_compared, read_properties
from harness.postgres.restoring.toc import Entry, noted
from harness.postgres.server import connect, said
from harness.postgres.session import RAW, Connection, server_encoding

STATISTICS = 180000  # first version whose restore takes planner statistics, so that no ANALYZE is needed after it
CHUNK = 4 * 1024 * 1024  # bytes of one chunk
OID = "SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
END = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE application_name = %s AND pid <> pg_catalog.pg_backend_pid()
"""
# PostgreSQL has no text of more than 1 GB, and pg_dump reads a value as text: a bytea has two characters a byte.
# A row is one line of COPY, and has no more either; in it a line break, a tab and a backslash have two characters.
TOO_LARGE = re.compile(
    "invalid memory alloc request size|string buffer exceeds maximum allowed length|Cannot enlarge string buffer"
)
SMALLER = (
    "a value or a row in it has more than 1 GB as text (a bytea of 500 MB has), which pg_dump cannot read: "
    "split it, or store it as a large object"
)
SETVAL = re.compile(rb", (-?\d+), (true|false)\);\s*\Z")  # the end of what sets a sequence to its value


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An exported snapshot of one database, with locks on its tables, valid until the block of `open_snapshot` ends."""

    sql: Sql
    database: str
    id: str  # argument of `pg_dump --snapshot`
    taken_at: datetime  # UTC of the server, read before the snapshot: it contains every write acknowledged by then
    taken_mono: float  # monotonic seconds of the harness, read at the same moment
    sequences: tuple[figures.Sequence, ...]  # their values at that time
    connection: Connection
    oid: int  # of the database, which has that name as long as the snapshot is open
    without: Collection[int] = ()  # OIDs of tables that are neither locked nor read
    late: Event = field(default_factory=Event)  # set when the patience for the whole of it has ended

    def names(self, query: str) -> Names:
        """Return a query's column as text, without NULLs, as of the snapshot. Raises BackupFailed, HarnessError."""
        try:
            return figures.names(self.connection, query)
        except psycopg.Error as error:
            query = " ".join(query.split())
            raise BackupFailed(f"database {self.database}: {self.reason(error)}; query: {query}") from error

    @property
    def application(self) -> str:
        """Application name of the sessions of pg_dump that read the snapshot."""
        return f"pg_dump {self.id}"

    def reason(self, error: psycopg.Error | HarnessError) -> str:
        """Return why a query failed, in one line."""
        return f"not done within {PATIENCE.dump:g} s; cancelled" if self.late.is_set() else said(error)

    def cancel(self) -> None:
        """End its query under way and every session of pg_dump that reads it, from any thread. Raises nothing."""
        with suppress(psycopg.Error):
            self.connection.cancel_safe(timeout=PATIENCE.sql_connect)
        with suppress(psycopg.Error, HarnessError), connect(self.sql, self.database) as connection:
            connection.execute(END, (self.application,))


@contextmanager
def open_snapshot(
    sql: Sql,
    database: str,
    clock: Clock = SYSTEM,
    stopped: Callable[[], bool] = lambda: False,
    without: Collection[int] = (),
) -> Iterator[Snapshot]:
    """Yield a snapshot of `database` on a separate connection, with a lock on each of its tables.

    Raises BackupFailed; it names the session that keeps a table locked, for pg_dump in the block too. When the block
    ends with an exception, nothing of the snapshot runs any longer. `stopped`: whether to end the wait for a lock;
    `without`: OIDs of tables that are left out.
    """
    try:
        connection = connect(sql, database, application="blackstart snapshot")
    except HarnessError as error:
        raise BackupFailed(f"database {database}: {error}") from error
    with connection:
        try:
            snapshot = _take(sql, database, connection, clock, stopped, without)
        except (psycopg.Error, HarnessError) as error:
            named = _blocker(sql, database, error)
            raise BackupFailed(f"database {database}: no snapshot: {said(error)}{named}") from error

        def give_up() -> None:
            snapshot.late.set()
            snapshot.cancel()

        watch = Timer(PATIENCE.dump, give_up)
        watch.daemon = True
        watch.start()
        try:
            yield snapshot
        except BaseException as error:
            named = _blocker(sql, database, error)
            snapshot.cancel()
            if isinstance(error, BackupFailed) and (named or not str(error).startswith(f"database {database}: ")):
                raise BackupFailed(f"database {database}: {error}{named}") from error
            raise
        finally:
            watch.cancel()


def _take(
    sql: Sql,
    database: str,
    connection: Connection,
    clock: Clock,
    stopped: Callable[[], bool],
    without: Collection[int],
) -> Snapshot:
    figures.begin_reading(connection)
    name, taken_at, before = take_snapshot(connection, PATIENCE.dump_lock, clock, stopped, without)
    connection.execute("SET max_parallel_workers_per_gather = 0")  # the other cores are production's
    sequences = figures.read_sequences(connection, without)
    ((oid,),) = connection.execute(OID).fetchall()
    return Snapshot(sql, database, name, taken_at.astimezone(UTC), before, sequences, connection, oid, without)


def _blocker(sql: Sql, database: str, error: BaseException) -> str:
    """Return, after a lock timeout, which session has the lock; after a value or row that is too large, what to do."""
    if TOO_LARGE.search(str(error)):
        return f"; {SMALLER}"
    if not TIMED_OUT.search(str(error)):
        return ""
    try:
        return f"; {blocker(sql, database)}"
    except HarnessError as failed:
        return f"; {failed}"


def facts(snapshot: Snapshot, path: str) -> DatabaseFacts:
    """Return the facts of the database in the snapshot; `path`: its objects in the backup, without suffix.

    Raises BackupFailed when the server stops answering.
    """
    try:
        row = figures.read_database(snapshot.connection)
        tables = rows.read_tables(snapshot.connection, without=snapshot.without)
        properties = read_properties(snapshot.connection, snapshot.without)
        not_compared = read_not_compared(snapshot.connection, snapshot.without)
    except (psycopg.Error, HarnessError) as error:
        raise BackupFailed(f"database {snapshot.database}: cannot be counted: {snapshot.reason(error)}") from error
    return DatabaseFacts(
        name=snapshot.database,
        owner=row.owner,
        encoding=row.encoding,
        collation=row.collation,
        size=row.size,
        snapshot_at=snapshot.taken_at,
        snapshot_mono=snapshot.taken_mono,
        tables=tables,
        sequences=tuple(sequence.facts for sequence in snapshot.sequences),
        path=path,
        properties=properties,
        not_compared=not_compared,
        template=row.template,
        limit=row.limit,
    )


def dump_task(site: Site, sql: Sql, snapshot: Snapshot) -> Task:
    """Return the task that writes the snapshot's database to standard output, uncompressed, in custom format."""
    task = client_task(
        site,
        "pg_dump",
        sql,
        "--format=custom",
        "--compress=0",
        *(("--statistics",) if snapshot.connection.info.server_version >= STATISTICS else ()),
        *_of(snapshot),
        database=snapshot.database,
    )
    return replace(task, env={**task.env, "PGAPPNAME": snapshot.application})


def with_sequences(dumped: Iterable[bytes], snapshot: Snapshot, values: dict[str, SequenceFacts]) -> Iterator[bytes]:
    """Yield a dump of the snapshot as it is; put what it sets each sequence to into `values`, by the sequence's name.

    A name that is not ASCII is found in databases of UTF-8 and without an encoding.
    """
    connection = snapshot.connection
    ours = server_encoding(connection) in ("UTF8", RAW)  # our session reads the very bytes that pg_dump writes
    encoding = connection.info.encoding if ours else "ascii"

    def note(entry: Entry) -> None:
        if found := SETVAL.search(entry.text):
            name = rows.qualified(*(part.decode(encoding, "backslashreplace") for part in (entry.schema, entry.name)))
            values[name] = SequenceFacts(name, int(found[1]), found[2] == b"true")

    return noted(dumped, "SEQUENCE SET", note)


def furthest_back(snapshot: Snapshot, values: Mapping[str, SequenceFacts]) -> tuple[SequenceFacts, ...]:
    """Return of each sequence its value at the snapshot, or that in the dump where it is behind, as after `setval`.

    Sequences are not part of a snapshot: pg_dump reads them later, and a restore has what it read.
    """

    def furthest(one: figures.Sequence) -> SequenceFacts:
        dumped = values.get(one.name, one.facts)
        return dumped if figures.is_behind(dumped, one.facts, one.step) else one.facts

    return tuple(map(furthest, snapshot.sequences))


def schema_task(site: Site, sql: Sql, database: str, snapshot: Snapshot | None = None) -> Task:
    """Return the task that writes the definitions of a database, in its snapshot if given, to standard output.

    `SchemaText` makes them comparable.
    """
    within = _of(snapshot) if snapshot else ()
    task = client_task(site, "pg_dump", sql, "--schema-only", "--no-tablespaces", *within, database=database)
    return replace(task, env={**task.env, "PGAPPNAME": snapshot.application}) if snapshot else task


def _of(snapshot: Snapshot) -> tuple[str, ...]:
    return (
        f"--snapshot={snapshot.id}",
        f"--lock-wait-timeout={round(PATIENCE.dump_lock * 1000)}",
        f"--encoding={server_encoding(snapshot.connection)}",  # no conversion, which may fail
    )


def chunks(running: Running, patience: float) -> Generator[bytes, None, None]:
    """Yield the task's output in chunks of 4 MiB. Raises BackupFailed unless it exits with 0: none is incomplete."""
    late = Event()

    def give_up() -> None:
        late.set()
        running.__exit__(None, None, None)

    watch = Timer(patience, give_up)
    watch.daemon = True
    with running:
        watch.start()
        try:
            while chunk := _read(running, late):
                yield chunk
            done = running.finish(patience)
        finally:
            watch.cancel()
    if late.is_set():
        raise BackupFailed(f"dump: not done within {patience:g} s; killed")
    if done.code:
        raise BackupFailed(f"dump: {how_it_ended(done)}")


def _read(running: Running, late: Event) -> bytes:
    try:
        return running.stdout.read(CHUNK)
    except ValueError:
        if late.is_set():
            return b""  # closed by the timeout
        raise
