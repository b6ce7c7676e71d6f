"""Locks of a snapshot: its tables cannot be truncated, rewritten or dropped before their rows are in the dump.

A snapshot alone does not keep them: for it, a table that was truncated later is empty. The locks (ACCESS SHARE) are
taken before the snapshot, each waited for in short tries, so that other sessions do not queue behind ours.
"""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

import psycopg
from psycopg import sql as compose

from harness.core.clock import Clock
from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.postgres.contents.rows import qualified
from harness.postgres.server import connect
from harness.postgres.session import Connection

# What pg_dump locks.
LOCKED = """
SELECT c.oid, n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                   WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
       OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE c.oid = ANY(extconfig)))
ORDER BY c.oid
"""
# A prepared transaction keeps the virtual number of its session until a restart: the lock on itself names it.
BLOCKERS = """
SELECT n.nspname::text, c.relname::text, l.pid, a.usename::text, a.application_name, a.state, p.gid
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
LEFT JOIN (
    SELECT x.virtualtransaction, p.gid FROM pg_catalog.pg_prepared_xacts p
    JOIN pg_catalog.pg_locks x ON x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.pid IS NULL
) AS p ON p.virtualtransaction = l.virtualtransaction AND l.pid IS NULL
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
  AND n.nspname !~ '^pg_'
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY l.granted DESC, a.xact_start LIMIT 1
"""
ROOM = """
SELECT current_setting('max_locks_per_transaction')::int
     * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int),
       current_setting('max_locks_per_transaction')::int
"""
SPARE = 1.1  # the server makes its table of locks larger by a tenth
EXPORT = "SELECT pg_catalog.pg_export_snapshot(), statement_timestamp()"
TIMED_OUT = re.compile("due to lock timeout|due to statement timeout.*LOCK TABLE")  # pg_dump's is the second
TRY = 1.0  # seconds of one try
AT_ONCE = 200  # tables of one statement
LISTINGS = 20  # how often the list of tables may become outdated while they are locked

Table = tuple[int, str, str]  # OID, schema, name


def take_snapshot(
    connection: Connection,
    patience: float,
    clock: Clock,
    stopped: Callable[[], bool],
    without: Collection[int] = (),
) -> tuple[str, datetime, float]:
    """Lock every table and export a snapshot; return its name, and server time and monotonic seconds before it.

    `connection`: outside a transaction; `without`: OIDs of tables that are not locked. Raises psycopg.Error, of which
    LockNotAvailable: a lock was not granted within `patience` seconds; HarnessError after `stopped`, and on a server
    without room for the locks.
    """
    for _ in range(LISTINGS):
        listed = [table for table in connection.execute(LOCKED).fetchall() if table[0] not in without]
        connection.rollback()  # the query took a snapshot
        until = clock.monotonic() + patience
        try:
            _lock(connection, listed, until, clock, stopped)
            before = clock.monotonic()
            ((name, taken_at),) = connection.execute(EXPORT).fetchall()
            known = {*without, *(oid for oid, *_ in listed)}
            new = [table for table in connection.execute(LOCKED).fetchall() if table[0] not in known]
            _lock(connection, new, until, clock, stopped)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            connection.rollback()  # dropped since it was listed
            continue
        except psycopg.errors.OutOfMemory as error:
            raise HarnessError(
                f"the server has no room for locks on {len(listed)} tables, which pg_dump needs as well; "
                "raise its max_locks_per_transaction"
            ) from error
        return name, taken_at, before
    raise HarnessError("tables are dropped faster than they can be locked; take the backup at another time")


def lacking_room(sql: Sql, tables: int) -> str:
    """Return why a server has no room to lock that many tables at a time, as pg_dump does, "" if it has.

    Raises HarnessError.
    """
    with connect(sql) as connection:
        ((room, each),) = connection.execute(ROOM.encode()).fetchall()
    if tables <= room * SPARE:
        return ""
    return (
        f"it has room for locks on {room} tables, and the comparison locks {tables}; "
        f"set its max_locks_per_transaction to {-(-tables * each // room)} or more and restart it"
    )


def _lock(
    connection: Connection, tables: Sequence[Table], until: float, clock: Clock, stopped: Callable[[], bool]
) -> None:
    connection.execute(compose.SQL("SET LOCAL lock_timeout = {}").format(compose.Literal(f"{TRY:g}s")))
    for first in range(0, len(tables), AT_ONCE):
        names = [compose.Identifier(schema, name) for _, schema, name in tables[first : first + AT_ONCE]]
        statement = compose.SQL("SAVEPOINT batch; LOCK TABLE ONLY {} IN ACCESS SHARE MODE; RELEASE SAVEPOINT batch")
        while True:
            try:
                connection.execute(statement.format(compose.SQL(", ONLY ").join(names)))
                break
            except psycopg.errors.LockNotAvailable:
                # Both: a snapshot cannot be exported from within a savepoint.
                connection.execute("ROLLBACK TO SAVEPOINT batch; RELEASE SAVEPOINT batch")
                if stopped():
                    raise HarnessError("stopped while it waited for a lock") from None
                if clock.monotonic() > until:
                    raise
    connection.execute("SET LOCAL lock_timeout = 0")


def blocker(sql: Sql, database: str) -> str:
    """Return in words which session has an exclusive lock on a table of the database; raises HarnessError."""
    with connect(sql, database) as connection:
        try:
            found = connection.execute(BLOCKERS).fetchone()
        except psycopg.Error as error:
            raise HarnessError(f"locks of database {database} cannot be listed") from error
    if found is None:
        return "the session that blocked it has ended"
    schema, name, pid, user, application, state, prepared = found
    table = f"table {qualified(schema, name)} is locked"
    if pid is None:
        return f"{table} by the prepared transaction {prepared}; commit it or roll it back"
    return f"{table} by pid {pid}, user {user}, application {application or 'unnamed'}, {state}; end that session"
