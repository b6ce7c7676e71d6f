"""Identity of a PostgreSQL server, and the list of its databases."""

from collections.abc import Sequence

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
MAINTENANCE = "postgres"  # exists on every server; backed up only if it contains user tables


def ask(sql: Sql, query: str, database: str = MAINTENANCE, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """Return all rows of one query, run as the superuser. Raises HarnessError, one line with server and database."""
    with connect(sql, database) as connection:
        try:
            return list(connection.execute(query.encode(), values or None).fetchall())
        except psycopg.Error as error:
            raise HarnessError(f"PostgreSQL at {sql.outside}, database {database}: {one_line(error)}") from error


def system_facts(sql: Sql) -> SystemFacts:
    """Return the server's `system_identifier`, version and timeline. Raises HarnessError."""
    ((identifier, version, timeline),) = ask(sql, SYSTEM)
    return SystemFacts(str(identifier), str(version).split()[0], int(str(timeline)))


def databases(sql: Sql) -> tuple[str, ...]:
    """Return the databases, sorted: no templates, and `postgres` only if it has user tables. Raises HarnessError."""
    names = [str(name) for (name,) in ask(sql, CONNECTABLE)]
    return tuple(n for n in names if n != MAINTENANCE or ask(sql, HAS_TABLES) == [(True,)])
