"""Which server this is, and what it holds."""

from __future__ import annotations

from typing import LiteralString

import psycopg

from harness.core.contents import SystemFacts
from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.postgres.server import connect, one_line

SYSTEM = """
SELECT s.system_identifier::text, current_setting('server_version'), c.timeline_id
FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c
"""
CONNECTABLE = """
SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname
"""
HAS_TABLES = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
)
"""
MAINTENANCE = "postgres"  # every server has this database; it counts only when somebody put tables there


def ask(sql: Sql, query: LiteralString, database: str = MAINTENANCE) -> list[tuple[object, ...]]:
    """Return all rows of one query as the superuser; raises HarnessError in one line."""
    with connect(sql, database) as connection:
        try:
            return list(connection.execute(query).fetchall())
        except psycopg.Error as error:
            raise HarnessError(f"PostgreSQL at {sql.outside}, database {database}: {one_line(error)}") from error


def system_facts(sql: Sql) -> SystemFacts:
    """Return the server's own identity: `system_identifier` and timeline from its control file, and its version."""
    ((identifier, version, timeline),) = ask(sql, SYSTEM)
    return SystemFacts(str(identifier), str(version).split()[0], int(str(timeline)))


def databases(sql: Sql) -> tuple[str, ...]:
    """Return every database that can be connected to and is no template, by name.

    `postgres` is among them only when it has tables of somebody's own.
    """
    names = [str(name) for (name,) in ask(sql, CONNECTABLE)]
    return tuple(n for n in names if n != MAINTENANCE or ask(sql, HAS_TABLES) == [(True,)])
