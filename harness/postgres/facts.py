"""What a database holds, in figures that agree on both servers when the data do.

Rows are compared by their text. Every setting that shapes text is fixed (`TEXT_FORM`), and the sum of two
64-bit hashes over all rows does not depend on their order; a row that is there twice counts twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import psycopg
from psycopg import sql as compose
from psycopg.rows import TupleRow

from harness.core.contents import TableFacts

Connection = psycopg.Connection[TupleRow]

TEXT_FORM: Mapping[str, str] = MappingProxyType(
    {
        "TimeZone": "UTC",
        "DateStyle": "ISO, MDY",
        "IntervalStyle": "postgres",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "xmloption": "content",
        "lc_monetary": "C",
        "search_path": "",
        "row_security": "off",
        "quote_all_identifiers": "off",
        "statement_timeout": "0",
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "transaction_timeout": "0",
    }
)

# Ordinary tables with storage: parents of partitions and foreign tables hold no rows of their own, the rows of
# an extension's tables come with the extension, and a materialised view is made anew by the restore.
TABLES = """
SELECT c.oid, n.nspname, c.relname,
       (SELECT string_agg(a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""
ROWS = compose.SQL(
    "SELECT count(*), coalesce(sum(hashtextextended(r, 0)), 0)::text, coalesce(sum(hashtextextended(r, 1)), 0)::text"
    ' FROM (SELECT t::text COLLATE "C" AS r FROM ONLY {} AS t) AS rows'
)
LARGE_OBJECTS = """
SELECT count(*), coalesce(sum(hashtextextended(r, 0)), 0)::text, coalesce(sum(hashtextextended(r, 1)), 0)::text
FROM (SELECT format('%s %s %s', loid, pageno, data) COLLATE "C" AS r FROM pg_catalog.pg_largeobject) AS pages
"""
# The next value minus one step: so a sequence that was never asked has a value as well.
SEQUENCES = """
SELECT format('%I.%I', n.nspname, c.relname), s.seqincrement, s.seqcycle,
       coalesce(pg_catalog.pg_sequence_last_value(c.oid), s.seqstart - s.seqincrement)
FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' ORDER BY 1
"""
DATABASE = """
SELECT pg_catalog.pg_get_userbyid(datdba), pg_catalog.pg_encoding_to_char(encoding),
       concat_ws(' ', CASE datlocprovider WHEN 'b' THEN 'builtin' WHEN 'i' THEN 'icu' ELSE 'libc' END,
                 coalesce(datlocale, '-'), datcollate, datctype),
       pg_catalog.pg_database_size(oid)
FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
"""


@dataclass(frozen=True, slots=True)
class DatabaseRow:
    """A database's own row. `collation`: provider, its locale (or -), LC_COLLATE, LC_CTYPE; `size` in bytes."""

    owner: str
    encoding: str
    collation: str
    size: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence: its step, and the value before the one it would give next."""

    name: str
    step: int
    cycles: bool
    value: int


def fix_text_form(connection: Connection) -> None:
    """Make this session write every value as every other such session does. Takes no snapshot."""
    for name, value in TEXT_FORM.items():
        connection.execute(compose.SQL("SET {} = {}").format(compose.Identifier(name), compose.Literal(value)))


def read_database(connection: Connection) -> DatabaseRow:
    """Return the row of the database that `connection` is in."""
    ((owner, encoding, collation, size),) = connection.execute(DATABASE).fetchall()
    return DatabaseRow(owner, encoding, collation, size)


def read_sequences(connection: Connection) -> tuple[Sequence, ...]:
    """Return every sequence as it stands now: sequences know no snapshots."""
    return tuple(Sequence(*row) for row in connection.execute(SEQUENCES).fetchall())


def read_tables(connection: Connection) -> tuple[TableFacts, ...]:
    """Return rows and digest of every table in the connection's snapshot; large objects count as a table."""
    found = []
    for _oid, schema, name, columns in connection.execute(TABLES).fetchall():
        table = compose.Identifier(schema, name)
        ((rows, first, second),) = connection.execute(ROWS.format(table)).fetchall()
        found.append(TableFacts(f"{schema}.{name}", rows, _digest(columns or "", first, second)))
    ((pages, first, second),) = connection.execute(LARGE_OBJECTS).fetchall()
    if pages:
        found.append(TableFacts("pg_catalog.pg_largeobject", pages, _digest("", first, second)))
    return tuple(found)


def _digest(columns: str, first: str, second: str) -> str:
    """Return the SHA-256, hex, over the columns' names and types and the two sums."""
    return hashlib.sha256("\n".join((columns, first, second)).encode()).hexdigest()
