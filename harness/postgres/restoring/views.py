"""Materialised views: filled after everything else is restored and compared; one that fails is a finding."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.patience import PATIENCE
from harness.postgres.facts import SEARCH_PATH
from harness.postgres.server import connect, one_line
from harness.postgres.session import Connection

# As a dump lists them: bytes of the database's encoding, a line break is a space.
VIEWS = r"""
SELECT n.nspname, c.relname, pg_catalog.convert_to(
           pg_catalog.translate(pg_catalog.concat_ws(' ', n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner)),
                                E'\r\n', '  '), pg_catalog.getdatabaseencoding())
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm'
"""
SUPERUSER = """
SELECT r.rolname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_roles r ON r.oid = c.relowner WHERE n.nspname = %s AND c.relname = %s AND r.rolsuper
"""
READER = "blackstart_refresh_"  # begin of the name of a role that lives as long as one transaction
LENT = (
    "CREATE ROLE {reader} NOLOGIN BYPASSRLS IN ROLE pg_read_all_data",
    "ALTER MATERIALIZED VIEW {view} OWNER TO {reader}",
    "REFRESH MATERIALIZED VIEW {view}",
    "ALTER MATERIALIZED VIEW {view} OWNER TO {owner}",
    "DROP ROLE {reader}",
)


@dataclass(frozen=True, slots=True)
class Stale:
    """A materialised view that could not be filled."""

    database: str
    schema: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"materialised view {self.schema}.{self.name} of database {self.database} is empty: {self.reason}"


def refresh_all(sql: Sql, database: str, listed: Sequence[bytes]) -> tuple[Stale, ...]:
    """Fill the materialised views in the order of `listed` (schema, name, owner); return those that fail.

    Row security and search path are those of production. Raises HarnessError when the database does not answer.
    """
    if not listed:
        return ()
    settings = {"row_security": "on", "statement_timeout": f"{round(PATIENCE.restore_database)}s"}
    failed = []
    try:
        with connect(sql, database, application="blackstart refresh", settings=settings, reading=False) as connection:
            names: dict[bytes, list[tuple[str, str]]] = {}
            for schema, name, line in connection.execute(VIEWS.encode()).fetchall():
                names.setdefault(bytes(line), []).append((schema, name))
            for line in listed:
                for schema, name in names.get(line, ()):
                    try:
                        refresh(connection, schema, name)
                    except psycopg.Error as error:
                        failed.append(Stale(database, schema, name, one_line(error)))
                if line not in names:
                    failed.append(Stale(database, "", line.decode(errors="backslashreplace"), "it is not there"))
    except psycopg.Error as error:
        raise HarnessError(f"database {database} at {sql.outside}: {one_line(error)}") from error
    return tuple(failed)


def refresh(connection: Connection, schema: str, name: str) -> None:
    """Fill one materialised view with the search path of the database's owner; raises psycopg.Error.

    Its functions run as its owner. One of a superuser is filled by a role that may only read, which is its owner
    meanwhile: no function of a backup runs as a superuser.
    """
    view = compose.Identifier(schema, name)
    with connection.transaction():
        connection.execute(SEARCH_PATH.encode())
        row = connection.execute(SUPERUSER, (schema, name)).fetchone()
        if row is None:
            connection.execute(compose.SQL("REFRESH MATERIALIZED VIEW {}").format(view))
            return
        owner, reader = compose.Identifier(str(row[0])), compose.Identifier(READER + secrets.token_hex(6))
        for statement in LENT:
            connection.execute(compose.SQL(statement).format(view=view, owner=owner, reader=reader))
