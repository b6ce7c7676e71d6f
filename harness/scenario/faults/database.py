"""What can befall a database while it is backed up. Each does to the server what an accident would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock as Mutex
from threading import Timer

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.postgres import facts as figures
from harness.postgres.server import connect, one_line

PATIENCE = "10s"  # for the lock itself: whoever reads the table now is let finish


@dataclass(slots=True)
class TableLock:
    """An ACCESS EXCLUSIVE lock: nobody can read the table, a dump included."""

    connection: figures.Connection
    _mutex: Mutex = field(default_factory=Mutex)

    def release(self) -> None:
        """Give it back; a second time does nothing."""
        with self._mutex:
            if self.connection.closed:
                return
            with suppress(psycopg.Error):  # the server may be gone, and the lock with it
                self.connection.rollback()
            self.connection.close()


@contextmanager
def lock_table(sql: Sql, database: str, table: str, seconds: float) -> Iterator[TableLock]:
    """Lock `table` for `seconds` or until the block ends, whichever is sooner; the block can release it as well.

    Raises HarnessError when the lock is not to be had within ten seconds.
    """
    connection = connect(sql, database, autocommit=False, application="blackstart lock")
    lock = TableLock(connection)
    timer = Timer(seconds, lock.release)
    timer.daemon = True
    try:
        try:
            connection.execute(compose.SQL("SET LOCAL lock_timeout = {}").format(compose.Literal(PATIENCE)))
            connection.execute(compose.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(compose.Identifier(table)))
        except psycopg.Error as error:
            raise HarnessError(f"table {table} of {database} cannot be locked: {one_line(error)}") from error
        timer.start()
        yield lock
    finally:
        timer.cancel()
        lock.release()


def drop_database_forcibly(sql: Sql, database: str) -> None:
    """Drop a database under the hands of everybody who uses it; raises HarnessError."""
    with connect(sql) as connection:
        try:
            connection.execute(compose.SQL("DROP DATABASE {} WITH (FORCE)").format(compose.Identifier(database)))
        except psycopg.Error as error:
            raise HarnessError(f"database {database} cannot be dropped: {one_line(error)}") from error


def end_dumps(sql: Sql) -> int:
    """Terminate the sessions of every `pg_dump` at work and return how many there were."""
    with connect(sql) as connection:
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'"
        ).fetchall()
    return sum(1 for (ended,) in rows if ended)
