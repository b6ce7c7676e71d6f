"""Facts of a database, but for its rows: pg_database, sequences; and how a session reads them."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import psycopg
from psycopg import sql as compose

from harness.core.contents import SequenceFacts
from harness.on_disk import Names
from harness.postgres.contents.rows import apart, qualified
from harness.postgres.session import Connection, speak_bytes

T = TypeVar("T")

# Of an extension's sequences, pg_dump writes the values of those that it marked as configuration.
SEQUENCES = """
SELECT n.nspname::text, c.relname::text, s.seqincrement, s.seqcycle, c.oid
FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND (
    NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE c.oid = ANY(extconfig)))
ORDER BY 1, 2
"""
VALUE = compose.SQL("SELECT {}, last_value, is_called FROM {}")
SEQUENCES_AT_ONCE = 500
ROWS = 1000  # of a service's query that are read at a time
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
ONE_COLUMN = "the query is not one statement that returns one column; several become one with UNION ALL"
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
    """A sequence. `step`: its increment; `value`, `called`: its last_value and is_called."""

    name: str
    step: int
    cycles: bool
    value: int
    called: bool

    @property
    def facts(self) -> SequenceFacts:
        """What a backup says of it."""
        return SequenceFacts(self.name, self.value, self.called)


def is_behind(one: SequenceFacts, other: SequenceFacts, step: int) -> bool:
    """Return whether a sequence with that increment, at `one`, gives again what it gave on its way to `other`."""
    return (_last(one, step) - _last(other, step)) * step < 0


def _last(sequence: SequenceFacts, step: int) -> int:
    """Return the value before the one that `nextval` returns."""
    return sequence.value if sequence.called else sequence.value - step


def begin_reading(connection: Connection) -> None:
    """Read in one snapshot, not yet taken. What else affects how values are written as text, every session fixes."""
    speak_bytes(connection)
    connection.execute("SET search_path = ''")
    connection.execute("SET jit = off")  # its cost grows with the number of columns
    connection.autocommit = False
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True


def read_database(connection: Connection) -> DatabaseRow:
    """Return the pg_database row of the database that `connection` is connected to."""
    (row,) = connection.execute(DATABASE).fetchall()
    return DatabaseRow(*row)


def names(connection: Connection, query: str) -> Names:
    """Return the values of the one column of a service's query as text, without NULLs, each once.

    It is asked with the search path of the owner, in one message to the server, so that other threads may use the
    connection meanwhile. Raises psycopg.Error, also for several statements or columns: what all but the first return
    would be left out; HarnessError.
    """
    return _column(connection, query, Names)


def column(connection: Connection, query: str) -> tuple[str, ...]:
    """Return what `names` does in the order in which the server returns it, in memory. Raises psycopg.Error."""
    return _column(connection, query, tuple)


def _column(connection: Connection, query: str, into: Callable[[Iterable[str]], T]) -> T:
    cursor = connection.execute(f"{SEARCH_PATH};\n{query}\n;{NO_SEARCH_PATH}".encode())
    cursor.nextset()
    columns = len(cursor.description or ())
    parts = iter(partial(cursor.fetchmany, ROWS), []) if columns == 1 else ()
    found = into(str(row[0]) for rows in parts for row in rows if row[0] is not None)
    if columns != 1 or not cursor.nextset() or cursor.nextset():
        raise psycopg.ProgrammingError(ONE_COLUMN)
    return found


def read_sequences(connection: Connection, without: Collection[int] = ()) -> tuple[Sequence, ...]:
    """Return the current value of every sequence but those of these OIDs: they are not part of a snapshot.

    Raises psycopg.Error.
    """
    listed = [row for *row, oid in connection.execute(SEQUENCES).fetchall() if oid not in without]
    values: dict[int, tuple[int, bool]] = {}
    for first in range(0, len(listed), SEQUENCES_AT_ONCE):
        some = list(enumerate(listed[first : first + SEQUENCES_AT_ONCE], first))
        one_query = compose.SQL(" UNION ALL ").join(
            VALUE.format(compose.Literal(at), compose.Identifier(schema, name)) for at, (schema, name, *_) in some
        )
        values |= {at: (value, called) for at, value, called in apart(connection, one_query)}
    return tuple(
        Sequence(qualified(schema, name), step, cycles, *values[at])
        for at, (schema, name, step, cycles) in enumerate(listed)
    )
