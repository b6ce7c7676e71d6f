"""What a restore that was killed left in a database: pg_cron without a job, and what was to hold its jobs.

Both are there before the rows are loaded, and all else is one transaction.
"""
# ruff: noqa: S608 - of names that are written here

import psycopg

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, RestoreFailed, TookTooLong
from harness.core.service import Sql
from harness.postgres.identity import filled
from harness.postgres.restoring import quiet
from harness.postgres.server import connect, one_line
from harness.postgres.session import Connection

REMOVE = f"DROP SCHEMA IF EXISTS blackstart_held_jobs CASCADE; DROP EXTENSION IF EXISTS {quiet.SCHEDULER}"
JOBS = "SELECT EXISTS (SELECT FROM cron.job)"
HOLDING = f"""
SELECT EXISTS ({quiet.HOLDING}) AND EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = '{quiet.SCHEDULER}')
"""
# A role that may not see what a backend is takes each for a client.
CLIENTS = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
               WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
                 AND coalesce(backend_type, 'client backend') = 'client backend')
"""
LEAVING = 2.0  # seconds that a backend has to end whose client has gone
# pg_cron is connected to its database for ever, and starts again by itself.
END_SCHEDULER = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE datname = %s AND backend_type = 'pg_cron launcher'
"""
# The schema and what is in it, the extension and its members, and what PostgreSQL makes of a table or a column.
OURS = f"""
SELECT * FROM (WITH RECURSIVE ours (classid, objid) AS (
    SELECT tableoid, oid FROM pg_catalog.pg_extension WHERE extname = '{quiet.SCHEDULER}'
    UNION SELECT tableoid, oid FROM pg_catalog.pg_namespace WHERE nspname = 'blackstart_held_jobs'
    UNION SELECT d.classid, d.objid FROM ours JOIN pg_catalog.pg_depend d
        ON d.refclassid = ours.classid AND d.refobjid = ours.objid
       AND (d.deptype IN ('e', 'i', 'a') OR d.refclassid = 'pg_catalog.pg_namespace'::regclass
            AND d.refobjid = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'blackstart_held_jobs'))
) SELECT classid, objid FROM ours) AS o
"""
OTHERS = filled(OURS)


def holds_only(sql: Sql, name: str) -> bool:
    """Return whether a database has what holds jobs, no job and nothing else. Raises HarnessError.

    So a restore left it that was killed before it had loaded anything. Of one that still runs, a client is there.
    """
    try:
        with connect(sql, name) as connection:
            if not _is(connection, HOLDING) or _is(connection, OTHERS) or _is(connection, JOBS):
                return False
            return _alone(connection)
    except psycopg.Error as error:
        raise HarnessError(f"PostgreSQL at {sql}, database {name}: {one_line(error)}") from error


def clear(sql: Sql, name: str) -> None:
    """Remove from a database what a killed restore left, if it has nothing else. Raises RestoreFailed, HarnessError."""
    if not holds_only(sql, name):
        return
    try:
        with connect(sql, name) as connection:
            connection.execute(REMOVE.encode())
    except psycopg.Error as error:
        raise RestoreFailed(
            f"database {name} at {sql}: what a killed restore left cannot be removed: {one_line(error)}; run {REMOVE}"
        ) from error


def _alone(connection: Connection) -> bool:
    def nobody() -> None:
        if _is(connection, CLIENTS):
            raise NotYet("a client is connected")

    try:
        wait_until(nobody, patience=LEAVING)
    except TookTooLong:
        return False
    return True


def _is(connection: Connection, query: str) -> bool:
    return connection.execute(query.encode()).fetchall() == [(True,)]
