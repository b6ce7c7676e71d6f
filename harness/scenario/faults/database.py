"""Table lock that makes a dump wait."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock as Mutex
from threading import Timer

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.postgres.server import connect, one_line
from harness.postgres.session import Connection

LOCK_TIMEOUT = "10s"  # for the lock itself: running readers of the table may finish


@dataclass(slots=True)
class TableLock:
    """An ACCESS EXCLUSIVE lock: no session can read the table, a dump included."""

    connection: Connection
    _mutex: Mutex = field(default_factory=Mutex)

    def release(self) -> None:
        """Release the lock; does nothing when it is released already."""
        with self._mutex:
            if self.connection.closed:
                return
            with suppress(psycopg.Error):  # a killed server has released the lock already
                self.connection.rollback()
            self.connection.close()


@contextmanager
def lock_table(sql: Sql, database: str, table: str, seconds: float) -> Iterator[TableLock]:
    """Lock `table` for `seconds` or until the block ends; yield the lock. Raises HarnessError if not granted."""
    connection = connect(sql, database, autocommit=False, application="blackstart lock")
    lock = TableLock(connection)
    timer = Timer(seconds, lock.release)
    timer.daemon = True
    try:
        try:
            connection.execute(compose.SQL("SET LOCAL lock_timeout = {}").format(compose.Literal(LOCK_TIMEOUT)))
            connection.execute(compose.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(compose.Identifier(table)))
        except psycopg.Error as error:
            raise HarnessError(f"table {table} of {database} cannot be locked: {one_line(error)}") from error
        timer.start()
        yield lock
    finally:
        timer.cancel()
        lock.release()
