"""Dumps: one snapshot for each database; its facts are counted in the same snapshot."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Timer

import psycopg

from harness.core.clock import SYSTEM, Clock
from harness.core.contents import DatabaseFacts
from harness.core.errors import BackupFailed, HarnessError
from harness.core.node import Running, Site, Task
from harness.core.service import Sql
from harness.postgres import facts as figures
from harness.postgres.client import client_task, how_it_ended
from harness.postgres.contents import rows
from harness.postgres.server import connect, one_line, said
from harness.postgres.session import Connection, server_encoding

STATISTICS = 180000  # first version whose restore takes planner statistics, so that no ANALYZE is needed after it
CHUNK = 4 * 1024 * 1024  # bytes of one chunk


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An exported snapshot of one database, valid until the block of `open_snapshot` ends."""

    database: str
    id: str  # argument of `pg_dump --snapshot`
    taken_at: datetime  # UTC of the server, read before the snapshot: it contains every write acknowledged by then
    taken_mono: float  # monotonic seconds of the harness, read at the same moment
    sequences: tuple[figures.Sequence, ...]  # their values at that time
    connection: Connection

    def column(self, query: str) -> tuple[str, ...]:
        """Return a query's first column as text, without NULLs, as of the snapshot. Raises BackupFailed."""
        try:
            return figures.column(self.connection, query)
        except psycopg.Error as error:
            said = f"{one_line(error)}; query: {' '.join(query.split())}"
            raise BackupFailed(f"database {self.database}: {said}") from error


@contextmanager
def open_snapshot(sql: Sql, database: str, clock: Clock = SYSTEM) -> Iterator[Snapshot]:
    """Yield a snapshot of `database` on a separate connection; raises BackupFailed."""
    try:
        connection = connect(sql, database, application="blackstart snapshot")
    except HarnessError as error:
        raise BackupFailed(f"database {database}: {error}") from error
    with connection:
        try:
            figures.begin_reading(connection)
            before = clock.monotonic()
            ((name, taken_at),) = connection.execute(
                "SELECT pg_catalog.pg_export_snapshot(), statement_timestamp()"
            ).fetchall()
            sequences = figures.read_sequences(connection)
        except psycopg.Error as error:
            raise BackupFailed(f"database {database}: no snapshot: {one_line(error)}") from error
        yield Snapshot(database, name, taken_at.astimezone(UTC), before, sequences, connection)


def facts(snapshot: Snapshot, path: str) -> DatabaseFacts:
    """Return the facts of the database in the snapshot; `path`: its objects in the backup, without suffix.

    Raises BackupFailed when the server stops answering.
    """
    try:
        row = figures.read_database(snapshot.connection)
        tables = rows.read_tables(snapshot.connection)
    except (psycopg.Error, HarnessError) as error:
        raise BackupFailed(f"database {snapshot.database}: cannot be counted: {said(error)}") from error
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
        template=row.template,
        limit=row.limit,
    )


def dump_task(site: Site, sql: Sql, snapshot: Snapshot) -> Task:
    """Return the task that writes the snapshot's database to standard output, uncompressed, in custom format."""
    return client_task(
        site,
        "pg_dump",
        sql,
        "--format=custom",
        "--compress=0",
        *(("--statistics",) if snapshot.connection.info.server_version >= STATISTICS else ()),
        f"--snapshot={snapshot.id}",
        f"--encoding={server_encoding(snapshot.connection)}",  # no conversion, which may fail
        database=snapshot.database,
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
