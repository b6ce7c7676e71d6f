"""Proofs from the server's side: what was restored is what was backed up, and who is connected to it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from harness.core.contents import DatabaseFacts, TableFacts
from harness.core.errors import HarnessError, Refused
from harness.core.service import Sql
from harness.postgres import facts as figures
from harness.postgres.identity import system_facts
from harness.postgres.server import connect, one_line

BACKENDS = """
SELECT pid, application_name, backend_start FROM pg_catalog.pg_stat_activity
WHERE datname = %s AND usename = %s AND backend_type = 'client backend' ORDER BY pid
"""


def differences(sql: Sql, facts: DatabaseFacts) -> tuple[str, ...]:
    """Return how the database of that name differs from `facts`, one line each; empty when it does not.

    Raises HarnessError when the server does not answer.
    """
    with connect(sql, facts.name, application="blackstart check") as connection:
        try:
            figures.fix_text_form(connection)
            connection.autocommit = False
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            row = figures.read_database(connection)
            tables = figures.read_tables(connection)
            sequences = figures.read_sequences(connection)
        except psycopg.Error as error:
            raise HarnessError(f"database {facts.name} at {sql.outside}: {one_line(error)}") from error
    return (
        *_database(row, facts),
        *_tables(tables, facts.tables),
        *_sequences(sequences, facts.sequences),
    )


def _database(row: figures.DatabaseRow, facts: DatabaseFacts) -> Iterator[str]:
    for what, found, expected in (
        ("owner", row.owner, facts.owner),
        ("encoding", row.encoding, facts.encoding),
        ("collation", row.collation, facts.collation),
    ):
        if found != expected:
            yield f"{what}: {found}, expected {expected}"


def _tables(found: tuple[TableFacts, ...], expected: tuple[TableFacts, ...]) -> Iterator[str]:
    here, there = {t.name: t for t in found}, {t.name: t for t in expected}
    yield from (f"table {name}: missing" for name in there if name not in here)
    yield from (f"table {name}: not in the backup" for name in here if name not in there)
    for name in here.keys() & there.keys():
        if here[name].rows != there[name].rows:
            yield f"table {name}: {here[name].rows} rows, expected {there[name].rows}"
        elif here[name].digest != there[name].digest:
            yield f"table {name}: other contents or columns in {here[name].rows} rows"


def _sequences(found: tuple[figures.Sequence, ...], expected: tuple[tuple[str, int], ...]) -> Iterator[str]:
    """A sequence knows no snapshot: it may be ahead by what was drawn before the dump read it, never behind."""
    here = {sequence.name: sequence for sequence in found}
    for name, value in expected:
        if name not in here:
            yield f"sequence {name}: missing"
        elif not here[name].cycles and (here[name].value - value) * here[name].step < 0:
            yield f"sequence {name}: at {here[name].value}, behind {value}"


def connected(sql: Sql, database: str, user: str) -> tuple[str, ...]:
    """Return the server's own account of the sessions that `user` has in `database`: process id and name each."""
    with connect(sql, application="blackstart check") as connection:
        try:
            rows = connection.execute(BACKENDS, (database, user)).fetchall()
        except psycopg.Error as error:
            raise HarnessError(f"sessions at {sql.outside}: {one_line(error)}") from error
    return tuple(f"pid {pid} {name or 'unnamed'} since {since:%H:%M:%S}" for pid, name, since in rows)


def require_identity(sql: Sql, expected: str) -> None:
    """Raise Refused unless the server's `system_identifier` is `expected`; unreadable means refused."""
    try:
        found = system_facts(sql).identifier
    except HarnessError as error:
        raise Refused(f"the server at {sql.outside} cannot be identified ({error}); nothing was changed") from error
    if found != expected:
        raise Refused(f"the server at {sql.outside} is system {found}, not {expected}; nothing was changed")


def column(sql: Sql, database: str, query: str) -> tuple[str, ...]:
    """Return the first column of a query that a service declares, as text; NULLs are left out."""
    with connect(sql, database) as connection:
        try:
            rows = connection.execute(query.encode()).fetchall()
        except psycopg.Error as error:
            raise HarnessError(f"database {database} at {sql.outside}: {one_line(error)}: {query}") from error
    return tuple(str(row[0]) for row in rows if row[0] is not None)
