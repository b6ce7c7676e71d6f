"""A connection to Odoo's database from outside the site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from harness.core.errors import HarnessError
from harness.core.service import Place
from harness.postgres.server import connect, one_line

Rows = psycopg.Connection[TupleRow]


@contextmanager
def transaction(place: Place, database: str) -> Iterator[Rows]:
    """Yield a connection in a transaction that an error undoes; what the server refuses is a HarnessError."""
    try:
        with connect(place.sql, database) as connection, connection.transaction():
            yield connection
    except psycopg.Error as error:
        raise HarnessError(
            f"database {database} on site {place.site.name}: {one_line(error)}; is it an Odoo's?"
        ) from error


def numbers(connection: Rows, query: str | sql.Composable, values: Sequence[object] = ()) -> list[int]:
    """Return the first column of what `query` answers, sorted."""
    statement = query.as_bytes(connection) if isinstance(query, sql.Composable) else query.encode()
    return sorted(int(row[0]) for row in connection.execute(statement, values).fetchall())


def exists(connection: Rows, table: str) -> bool:
    """Return whether there is a table of that name: it comes and goes with an Odoo module."""
    row = connection.execute("select to_regclass(%s) is not null", (table,)).fetchone()
    return row is not None and bool(row[0])
