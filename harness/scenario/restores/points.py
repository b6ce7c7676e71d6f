"""Points in time of a drill: clients write numbered rows until one, and go on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psycopg

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError, UsageError
from harness.core.ledger import Ledger
from harness.core.service import Sql
from harness.core.wal import read_lsn
from harness.drill.drill import Drill
from harness.patience import PATIENCE
from harness.postgres.checks import column
from harness.postgres.server import ask_row, connect
from harness.scenario.faults.backup import LARGEST as DATABASE
from harness.traffic.ledger_writer import LedgerWriter

TABLE = "CREATE TABLE clients (number bigint PRIMARY KEY)"
INSERT = "INSERT INTO clients VALUES (%s)"
POINT = "before-the-upgrade"  # name of a restore point
SOME = 10  # acknowledged writes after which clients count as having written on
RATE = 50.0  # writes a second


@dataclass(frozen=True, slots=True)
class Point:
    """A point in time. `target`: as `blackstart restore --to` takes it; it lies between two monotonic times.

    `position`: the end of the WAL then.
    """

    target: str
    begin: float
    end: float
    position: int

    def owed(self, ledger: Ledger) -> frozenset[int]:
        """Return the writes that were acknowledged before it: each must be there."""
        return frozenset(one.number for one in ledger.writes if one.acked is not None and one.acked < self.begin)

    def later(self, ledger: Ledger) -> frozenset[int]:
        """Return the writes that were sent after it: none may be there."""
        return frozenset(one.number for one in ledger.writes if one.sent > self.end)


def start_clients(drill: Drill) -> None:
    """Start a client that writes numbered rows to the primary's database; return once some are acknowledged."""
    connection = connect(drill.environment.primary.place.sql, DATABASE, application="blackstart clients")
    connection.execute(TABLE)

    def send(number: int) -> bool:
        try:
            connection.execute(INSERT, (number,))
        except psycopg.Error:
            return False
        return True

    drill.writer = LedgerWriter(send, drill.ledger, RATE)
    drill.writer.start()
    write_on(drill)


def write_on(drill: Drill) -> None:
    """Return once clients had some further writes acknowledged. Raises HarnessError when their writer died."""
    writer, before = drill.writer, len(drill.ledger.ledger.acknowledged())
    if writer is None:
        raise HarnessError("no client writes to the database; add that Given step")

    def written() -> None:
        if (failed := writer.consecutive_failures) or len(drill.ledger.ledger.acknowledged()) < before + SOME:
            raise NotYet(f"fewer than {SOME} further writes, {failed} failed in a row")

    wait_until(written, patience=PATIENCE.first_writes, every=0.05, what="further writes")


def rows_on(sql: Sql) -> frozenset[int]:
    """Return the numbers of the clients' rows on a server. Raises HarnessError."""
    return frozenset(map(int, column(sql, DATABASE, "SELECT number::text FROM clients")))


def _time(sql: Sql) -> str:
    return f"time={ask_row(sql, 'SELECT pg_catalog.clock_timestamp()')[0].isoformat()}"


def _position(sql: Sql) -> str:
    return f"lsn={ask_row(sql, 'SELECT pg_catalog.pg_current_wal_insert_lsn()')[0]}"


def _named(sql: Sql) -> str:
    ask_row(sql, "SELECT pg_catalog.pg_create_restore_point(%s)", POINT)
    return f"name={POINT}"


def _deletion(sql: Sql) -> str:
    """Delete every row of the clients; return the point just before that was committed."""
    with connect(sql, DATABASE, autocommit=False, reading=False) as connection:
        deleted = connection.execute("DELETE FROM clients").rowcount
        row = connection.execute("SELECT pg_catalog.pg_current_xact_id()").fetchone()
    if not deleted or row is None:
        raise HarnessError("nothing was deleted: the mistake had no effect")
    return f"before=xid:{row[0]}"


def _segment(sql: Sql) -> str:
    """End the segment of WAL that is being written. What is in the next ones may be lost: all there is is restored."""
    ask_row(sql, "SELECT pg_catalog.pg_switch_wal()")
    return "latest"


POINTS: Mapping[str, Callable[[Sql], str]] = {
    "a time": _time,
    "a position in the WAL": _position,
    "a restore point that was named": _named,
    "just before a mistaken deletion": _deletion,
    "the end of a segment of WAL": _segment,
}


def write_until(drill: Drill, phrase: str) -> Point:
    """Let clients write until that point, and on; return the point. Raises UsageError for an unknown phrase."""
    if phrase not in POINTS:
        raise UsageError(f"no point in time {phrase!r}; known: {', '.join(POINTS)}")
    write_on(drill)
    sql, begin = drill.environment.primary.place.sql, SYSTEM.monotonic()
    target = POINTS[phrase](sql)
    point = Point(target, begin, SYSTEM.monotonic(), end_of_wal(sql))
    drill.journal.mark("point", phrase, target=target)
    write_on(drill)
    return point


def write_last(drill: Drill) -> Point:
    """End the clients' writes; return the point at which all are there. Raises HarnessError when their writer died."""
    if drill.writer is not None:
        drill.writer.stop()
    now = SYSTEM.monotonic()
    return Point("latest", now, now, end_of_wal(drill.environment.primary.place.sql))


def end_of_wal(sql: Sql) -> int:
    """Return the position up to which a server has written its WAL."""
    return read_lsn(str(ask_row(sql, "SELECT pg_catalog.pg_current_wal_flush_lsn()")[0]))
