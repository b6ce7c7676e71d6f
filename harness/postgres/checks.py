"""Comparison of a restored database with the facts in its backup, and checks of client sessions."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg

from harness.core.contents import DatabaseFacts, SequenceFacts, TableFacts
from harness.core.errors import BackupFailed, HarnessError
from harness.core.node import Site
from harness.core.service import Sql
from harness.on_disk import Names
from harness.patience import PATIENCE
from harness.postgres import facts as figures
from harness.postgres.contents import properties, rows
from harness.postgres.contents.abilities import possible
from harness.postgres.contents.prepared_locks import oids, prepared_locks
from harness.postgres.contents.schema_check import MISSING, Dump, compared
from harness.postgres.dump import chunks, schema_task
from harness.postgres.identity import ask
from harness.postgres.server import connect, one_line, said
from harness.postgres.session import Connection

T = TypeVar("T")

BACKENDS = """
SELECT pid, application_name, backend_start FROM pg_catalog.pg_stat_activity
WHERE datname = %s AND usename = %s AND backend_type = 'client backend' ORDER BY pid
"""
SESSIONS = "SELECT sessions FROM pg_catalog.pg_stat_database WHERE datname = %s"


def differences(
    sql: Sql, facts: DatabaseFacts, site: Site | None = None, stored: Dump = tuple, lz4: bool | None = None
) -> tuple[str, ...]:
    """Return how a database differs from `facts`, one line a difference. Raises HarnessError without an answer.

    `site`: where pg_dump runs, for the comparison with the schema that `stored` reads from the backup. `lz4`: whether
    the server can compress by that, None when it was not asked yet.
    """
    with _reading(sql, facts) as connection:
        database = figures.read_database(connection)
        without = oids(prepared_locks(connection))
        tables = rows.read_tables(connection, without=without)
        sequences = figures.read_sequences(connection, without)
        found = properties.read_properties(connection, without)
    return (
        *_database(database, facts),
        *_tables(tables, facts.tables),
        *_sequences(sequences, facts.sequences),
        *properties.differences(found, facts.properties),
        *(_schema(sql, facts, site, stored, lz4) if site and facts.schema else ()),
    )


def other_collations(sql: Sql, facts: DatabaseFacts) -> tuple[str, ...]:
    """Return a line for each collation of a restored database whose version is another. Raises HarnessError."""
    if not any(name.startswith(properties.COLLATION) for name, _ in facts.properties):
        return ()
    with _reading(sql, facts) as connection:
        return tuple(properties.other_versions(properties.read_collations(connection), facts.properties))


def outdated_collations(sql: Sql, database: str) -> tuple[str, ...]:
    """Return a line for each collation by whose version a server sorts no more. Raises HarnessError."""
    with connect(sql, database) as connection:
        try:
            return properties.outdated(connection)
        except psycopg.Error as error:
            raise HarnessError(f"database {database} at {sql.outside}: {one_line(error)}") from error


def losses(sql: Sql, facts: DatabaseFacts, site: Site | None = None, stored: Dump = tuple) -> tuple[str, ...]:
    """Return what a database lacks of `facts` once services write to it, one line each. Raises HarnessError.

    Every table has at least the rows of the backup, no sequence is behind, and nothing of the schema is gone.
    """
    with _reading(sql, facts) as connection:
        without = oids(prepared_locks(connection))
        tables = rows.read_tables(connection, digests=False, without=without)
        sequences = figures.read_sequences(connection, without)
        found = properties.read_properties(connection, without)
    here = {table.name: table.rows for table in tables}
    counts = (
        f"table {then.name}: {here[then.name]} rows, at least {then.rows} expected"
        for then in facts.tables
        if here.get(then.name, then.rows) < then.rows
    )
    return (
        *(f"table {then.name}: missing" for then in facts.tables if then.name not in here),
        *counts,
        *_sequences(sequences, facts.sequences),
        *_gone(properties.differences(found, facts.properties)),
        *(_gone(_schema(sql, facts, site, stored)) if site and facts.schema else ()),
    )


def _gone(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in lines if line.endswith(MISSING))


@contextmanager
def _reading(sql: Sql, facts: DatabaseFacts) -> Iterator[Connection]:
    with connect(sql, facts.name, application="blackstart check") as connection:
        try:
            figures.begin_reading(connection)
            yield connection
        except (psycopg.Error, HarnessError) as error:
            raise HarnessError(f"database {facts.name} at {sql.outside}: {said(error)}") from error


def _schema(sql: Sql, facts: DatabaseFacts, site: Site, stored: Dump, lz4: bool | None = None) -> Iterator[str]:
    """Yield how the schema differs from the stored one, with `schema: ` before each line."""

    def found() -> Iterator[bytes]:
        return chunks(site.run(schema_task(site, sql, facts.name)), PATIENCE.dump)

    try:
        for line in compared(found, stored, facts.schema, possible(sql, facts.name, lz4)):
            yield f"schema: {line}"
    except BackupFailed as error:
        raise HarnessError(f"schema of database {facts.name} at {sql.outside}: {error}") from error


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


def _sequences(found: tuple[figures.Sequence, ...], expected: tuple[SequenceFacts, ...]) -> Iterator[str]:
    """Sequences are not part of a snapshot: one may be ahead of the facts in the backup, but never behind."""
    here = {sequence.name: sequence for sequence in found}
    for then in expected:
        if then.name not in here:
            yield f"sequence {then.name}: missing"
            continue
        now = here[then.name]
        if not now.cycles and figures.is_behind(now.facts, then, now.step):
            yield f"sequence {then.name}: {_at(now.facts)}, behind {_at(then).partition(' ')[2]}"


def _at(sequence: SequenceFacts) -> str:
    return f"at {sequence.value}" if sequence.called else f"at {sequence.value}, not yet called"


def connected(sql: Sql, database: str, user: str) -> tuple[str, ...]:
    """Return the sessions of `user` in `database`: process id, application name, start time. Raises HarnessError."""
    rows = ask(sql, BACKENDS, values=(database, user))
    return tuple(f"pid {pid} {name or 'unnamed'} since {since:%H:%M:%S}" for pid, name, since in rows)


def sessions(sql: Sql, database: str) -> int:
    """Return how many sessions of clients a database has had, those that are closed included. Raises HarnessError."""
    rows = ask(sql, SESSIONS, values=(database,))
    return int(str(rows[0][0])) if rows else 0


def names(sql: Sql, database: str, query: str) -> Names:
    """Return the column of a service's query as text, without NULLs, each value once. Raises HarnessError."""
    return _column(sql, database, query, figures.names)


def column(sql: Sql, database: str, query: str) -> tuple[str, ...]:
    """Return the column of a service's query as text, without NULLs, in memory. Raises HarnessError."""
    return _column(sql, database, query, figures.column)


def _column(sql: Sql, database: str, query: str, ask_for: Callable[[Connection, str], T]) -> T:
    with connect(sql, database) as connection:
        try:
            return ask_for(connection, query)
        except psycopg.Error as error:
            raise HarnessError(f"PostgreSQL at {sql.outside}, database {database}: {one_line(error)}") from error
