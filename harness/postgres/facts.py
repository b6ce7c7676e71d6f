"""Row counts and digests of every table of a database, for comparison after a restore.

Rows are hashed as text, in the server. Every setting that affects the text is fixed (`harness.postgres.session`). The
digest is built from the sums of two 64-bit hashes over all rows, so that it does not depend on their order; a duplicate
row counts twice.
"""

import hashlib
from dataclasses import dataclass

import psycopg
from psycopg import sql as compose

from harness.core.contents import TableFacts
from harness.postgres.session import Connection, speak_bytes

# Ordinary tables only: partitioned parents and foreign tables store no rows, an extension creates the rows of its own
# tables, and the restore refreshes materialised views.
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
# The next value minus one step, so that a sequence that was never used has a value as well.
SEQUENCES = """
SELECT format('%I.%I', n.nspname, c.relname), s.seqincrement, s.seqcycle,
       coalesce(pg_catalog.pg_sequence_last_value(c.oid), s.seqstart - s.seqincrement)
FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' ORDER BY 1
"""
# As JSON: which columns have provider and locale depends on the version.
DATABASE = """
SELECT pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding),
       concat_ws(' ', CASE j ->> 'datlocprovider' WHEN 'b' THEN 'builtin' WHEN 'i' THEN 'icu' ELSE 'libc' END,
                 coalesce(j ->> 'datlocale', j ->> 'daticulocale', '-'), d.datcollate, d.datctype),
       pg_catalog.pg_database_size(d.oid), d.datistemplate, d.datconnlimit
FROM pg_catalog.pg_database d, LATERAL to_jsonb(d) AS j WHERE d.datname = pg_catalog.current_database()
"""

# A service writes its queries for the search path that its role has, and that is nearly always the owner's.
SEARCH_PATH = """
SELECT pg_catalog.set_config('search_path', pg_catalog.replace(coalesce((
    SELECT pg_catalog.substr(config, 13)
    FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database(),
         pg_catalog.unnest(s.setconfig) AS config
    WHERE s.setdatabase IN (0, d.oid) AND s.setrole IN (0, d.datdba) AND config LIKE 'search_path=%'
    ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1
), '"$user", public'), '"$user"', (
    SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(datdba))
    FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
)), true)
"""
NO_SEARCH_PATH = "SELECT pg_catalog.set_config('search_path', '', true)"


@dataclass(frozen=True, slots=True)
class DatabaseRow:
    """A row of pg_database. `collation`: provider, its locale (or -), LC_COLLATE, LC_CTYPE; `size` in bytes."""

    owner: str
    encoding: str
    collation: str
    size: int
    template: bool
    limit: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence: its increment, and the value before the one that `nextval` would return."""

    name: str
    step: int
    cycles: bool
    value: int


def begin_reading(connection: Connection) -> None:
    """Read in one snapshot, not yet taken. What else affects how values are written as text, every session fixes."""
    speak_bytes(connection)
    connection.execute("SET search_path = ''")
    connection.autocommit = False
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True


def read_database(connection: Connection) -> DatabaseRow:
    """Return the pg_database row of the database that `connection` is connected to."""
    (row,) = connection.execute(DATABASE).fetchall()
    return DatabaseRow(*row)


def column(connection: Connection, query: str) -> tuple[str, ...]:
    """Return the first column of a service's query as text, without NULLs, with the search path of the owner.

    One message to the server, so that other threads may use the connection meanwhile.
    """
    cursor = connection.execute(f"{SEARCH_PATH};\n{query}\n;{NO_SEARCH_PATH}".encode())
    cursor.nextset()
    return tuple(str(row[0]) for row in cursor.fetchall() if row[0] is not None)


def read_sequences(connection: Connection) -> tuple[Sequence, ...]:
    """Return the current value of every sequence: sequences are not part of a snapshot."""
    return tuple(Sequence(*row) for row in connection.execute(SEQUENCES).fetchall())


def read_tables(connection: Connection) -> tuple[TableFacts, ...]:
    """Return row count and digest of every table in the snapshot; large objects are counted as one table."""
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
    """Return the SHA-256, hex, of the column names and types and the two sums."""
    return hashlib.sha256("\n".join((columns, first, second)).encode()).hexdigest()
