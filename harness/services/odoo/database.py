"""Queries on Odoo's database from outside the site."""

from collections.abc import Sequence

from psycopg import sql

from harness.postgres.facts import Connection

HINT = "is it the database of an Odoo?"  # end of an error message of the server


def numbers(connection: Connection, query: str | sql.Composable, values: Sequence[object] = ()) -> list[int]:
    """Return the first column of the result of `query`, sorted."""
    statement = query.as_bytes(connection) if isinstance(query, sql.Composable) else query.encode()
    return sorted(int(row[0]) for row in connection.execute(statement, values).fetchall())


def exists(connection: Connection, table: str) -> bool:
    """Return whether a table of that name exists; Odoo modules create and drop tables."""
    row = connection.execute("select to_regclass(%s) is not null", (table,)).fetchone()
    return row is not None and bool(row[0])
