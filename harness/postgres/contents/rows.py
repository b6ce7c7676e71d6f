"""Number of rows and digest of every table, computed by the server in one scan of each.

A row is hashed column by column in the order of their names, each as the text that the output function of its type
writes, so that names, casts to text, generated expressions and the limit of 1 GB for one value do not matter. NULL and
the empty string differ. The sum of the hashes does not depend on the order of rows; a duplicate row counts twice.
Measured on 1 GB (6 million rows of 6 columns): 4 s of one core, as much as COPY; the text of the whole row: 8 s.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql as compose

from harness.core.contents import TableFacts
from harness.core.errors import HarnessError
from harness.postgres.server import one_line
from harness.postgres.session import Connection

# What pg_dump writes the rows of: ordinary tables (partitions too), and of an extension's tables those that it marked
# as configuration, as far as its condition says. The hash of an enum is that of its OIDs, which are new after a
# restore: rows of a table that is partitioned by it are in other partitions then, so all its partitions are one table.
TABLES = """
WITH RECURSIVE below (top, oid, depth) AS (
    SELECT partrelid, partrelid, 0 FROM pg_catalog.pg_partitioned_table WHERE (
        SELECT o.oid FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am a ON a.oid = o.opcmethod
        WHERE o.opcname = 'enum_ops' AND o.opcnamespace = 'pg_catalog'::regnamespace AND a.amname = 'hash'
    ) = ANY(partclass)
    UNION ALL
    SELECT top, inhrelid, depth + 1 FROM below JOIN pg_catalog.pg_inherits ON inhparent = below.oid
), moving (oid, schema, name) AS (
    SELECT DISTINCT ON (b.oid) b.oid, n.nspname::text, c.relname::text FROM below b
    JOIN pg_catalog.pg_class c ON c.oid = b.top JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    ORDER BY b.oid, b.depth DESC
)
SELECT c.oid, n.nspname::text, c.relname::text, coalesce(conf.condition, ''), m.schema, m.name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'
LEFT JOIN (SELECT unnest(extconfig) AS oid, unnest(extcondition) AS condition FROM pg_catalog.pg_extension) AS conf
  ON conf.oid = c.oid
LEFT JOIN moving m ON m.oid = c.oid
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND (d.objid IS NULL OR conf.oid IS NOT NULL)
ORDER BY 2, 3
"""
# Without generated columns: no dump has their values, and to read a virtual one can raise an error. Without the column
# of pg_cron's jobs that keeps them from running in a drill, and what pg_cron writes into runs that its server ended:
# not of a user's own tables of those names.
COLUMNS = """
SELECT a.attrelid, a.attname::text, a.atttypid IN (25, 1043), a.attnotnull
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = a.attrelid AND d.objsubid = 0 AND d.deptype = 'e'
        AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND e.extname = 'pg_cron'
        AND (a.attrelid = to_regclass('cron.job') AND a.attname = 'active'
             OR a.attrelid = to_regclass('cron.job_run_details') AND a.attname IN ('status', 'return_message')))
ORDER BY a.attrelid, a.attname
"""
# Contents without the zeros at the end of a page, which pg_dump writes for the holes of a sparse object, and length.
LARGE_OBJECTS = """
SELECT (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata),
       coalesce(sum(pages + pg_catalog.hashtextextended(concat_ws(' ', loid, size) COLLATE "C", 1)), 0)::text
FROM (
    SELECT loid, max(pageno::bigint * 2048 + octet_length(data)) AS size,
           sum(CASE WHEN page = '' THEN 0
               ELSE pg_catalog.hashtextextended(concat_ws(' ', loid, pageno, page) COLLATE "C", 0) END) AS pages
    FROM (SELECT loid, pageno, data, rtrim(data, '\\x00'::bytea) AS page FROM pg_catalog.pg_largeobject) AS p
    GROUP BY loid
) AS objects
"""
OBJECTS = "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata"
LARGE_OBJECT_TABLE = "pg_catalog.pg_largeobject"

SAVEPOINT = "blackstart_rows"
PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")

TABLES_AT_ONCE, COLUMNS_AT_ONCE = 100, 1000  # of one query
GROUP = 32  # columns of one nested expression: the server's stack is limited


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `text`: it needs no conversion to text."""

    name: str
    text: bool
    required: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are in the dump. `condition`: a WHERE clause, "" for all rows.

    `of_schema`, `of_name`: the partitioned table in whose other partitions its rows may be after a restore.
    """

    oid: int
    schema: str
    name: str
    condition: str = ""
    of_schema: str | None = None
    of_name: str | None = None

    @property
    def label(self) -> str:
        """Schema and name as in SQL."""
        return qualified(self.schema, self.name)

    @property
    def counted_as(self) -> str:
        """The name that its rows are counted under."""
        return qualified(self.of_schema, self.of_name) if self.of_schema and self.of_name else self.label


def qualified(schema: str, name: str) -> str:
    """Return a name with its schema, each quoted where lower-case letters, digits and underscores are not all of it."""
    return ".".join(n if PLAIN.fullmatch(n) else '"' + n.replace('"', '""') + '"' for n in (schema, name))


def list_tables(connection: Connection, without: Collection[int] = ()) -> tuple[Table, ...]:
    """Return the tables whose rows are in a dump, sorted, but for these OIDs. Raises psycopg.Error."""
    found = (Table(*row) for row in connection.execute(TABLES).fetchall())
    return tuple(one for one in found if one.oid not in without)


def read_tables(
    connection: Connection, *, digests: bool = True, without: Collection[int] = ()
) -> tuple[TableFacts, ...]:
    """Return row count and digest of every table; large objects are one table, each object a row.

    `digests`: False for counts only, with empty digests; `without`: OIDs of tables that are not read. Raises
    psycopg.Error, HarnessError naming the table.
    """
    found = list(
        _summed(row for batch in _batches(connection, without, digests=digests) for row in batch.read(connection))
    )
    if digests:
        ((objects, total),) = connection.execute(LARGE_OBJECTS).fetchall()
    else:
        total = ""
        ((objects,),) = connection.execute(OBJECTS).fetchall()
    if objects:
        found.append(TableFacts(LARGE_OBJECT_TABLE, objects, _digest((), total) if digests else ""))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Counted:
    """The rows of one table. `total`: the sum of their hashes, "" if it was not asked for."""

    table: Table
    columns: Sequence[Column]
    rows: int
    total: str

    @property
    def facts(self) -> TableFacts:
        digest = _digest([column.name for column in self.columns], self.total) if self.total else ""
        return TableFacts(self.table.counted_as, self.rows, digest)


def _summed(counted: Iterable[_Counted]) -> Iterator[TableFacts]:
    """Yield the facts of the tables, those of one name as one table."""
    parts: dict[str, list[_Counted]] = {}
    for one in counted:
        if one.table.of_name is None:
            yield one.facts
        else:
            parts.setdefault(one.table.counted_as, []).append(one)
    for first, *others in parts.values():
        total = str(sum(int(one.total) for one in (first, *others))) if first.total else ""
        yield replace(first, rows=first.rows + sum(one.rows for one in others), total=total).facts


@dataclass(frozen=True, slots=True)
class _Batch:
    """Tables that are read in one query, so that 20,000 small ones do not need as many round trips."""

    tables: Sequence[tuple[Table, Sequence[Column]]]
    digests: bool

    def read(self, connection: Connection) -> Iterator[_Counted]:
        query = compose.SQL("\nUNION ALL ").join(
            _counted(at, table, columns if self.digests else None) for at, (table, columns) in enumerate(self.tables)
        )
        try:
            found = {at: (rows, total) for at, rows, total in apart(connection, query)}
        except psycopg.DatabaseError as error:
            if connection.closed or isinstance(error, psycopg.errors.QueryCanceled):
                raise
            connection.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}".encode())
            if len(self.tables) == 1:
                raise HarnessError(f"table {self.tables[0][0].label}: {one_line(error)}") from error
            for one in self.tables:
                yield from _Batch((one,), self.digests).read(connection)
            return
        for at, (table, columns) in enumerate(self.tables):
            rows, total = found[at]
            yield _Counted(table, columns, rows, total)


def apart(connection: Connection, query: compose.Composed) -> list[tuple[Any, ...]]:
    """Return the rows of a query in a subtransaction, whose end releases the locks that it took."""
    before, after = f"SAVEPOINT {SAVEPOINT};\n", f";\nROLLBACK TO SAVEPOINT {SAVEPOINT}; RELEASE SAVEPOINT {SAVEPOINT}"
    cursor = connection.execute(compose.SQL(before) + query + compose.SQL(after))
    cursor.nextset()
    return cursor.fetchall()


def _batches(connection: Connection, without: Collection[int], *, digests: bool) -> Iterator[_Batch]:
    tables = list_tables(connection, without)
    for first in range(0, len(tables), TABLES_AT_ONCE):
        some = tables[first : first + TABLES_AT_ONCE]
        columns: dict[int, list[Column]] = {table.oid: [] for table in some}
        if digests:
            for oid, *column in connection.execute(COLUMNS, ([table.oid for table in some],)).fetchall():
                columns[oid].append(Column(*column))
        yield from (_Batch(batch, digests) for batch in _limited([(table, columns[table.oid]) for table in some]))


def _limited(tables: Sequence[tuple[Table, Sequence[Column]]]) -> Iterator[list[tuple[Table, Sequence[Column]]]]:
    """Yield the tables in lists of at most COLUMNS_AT_ONCE columns, or one table."""
    batch: list[tuple[Table, Sequence[Column]]] = []
    size = 0
    for table, columns in tables:
        if batch and size + len(columns) > COLUMNS_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append((table, columns))
        size += len(columns)
    if batch:
        yield batch


def _counted(at: int, table: Table, columns: Sequence[Column] | None) -> compose.Composed:
    total = compose.SQL("''") if columns is None else compose.SQL("coalesce(sum({}), 0)::text").format(_row(columns))
    return compose.SQL("SELECT {}, count(*), {} FROM ONLY {} AS t {}").format(
        compose.Literal(at),
        total,
        compose.Identifier(table.schema, table.name),
        compose.SQL(table.condition),
    )


def _row(columns: Sequence[Column]) -> compose.Composable:
    """Return the expression of a row's 64-bit hash."""
    groups = [_group(at, columns[at : at + GROUP]) for at in range(0, len(columns), GROUP)]
    if not groups:
        return compose.SQL("0::bigint")
    if len(groups) == 1:
        return groups[0]
    return _hash(compose.SQL("concat_ws(' ', {})").format(compose.SQL(", ").join(groups)), compose.SQL("0"))


def _group(at: int, columns: Sequence[Column]) -> compose.Composable:
    """Hash each column with the hash of the one before as seed; the first seed says which are NULL."""
    nulls = [
        compose.SQL("CASE WHEN {} IS NULL THEN {}::bigint ELSE 0 END").format(_of(column), compose.Literal(1 << bit))
        for bit, column in enumerate(columns)
        if not column.required
    ]
    found: compose.Composable = compose.SQL(" + ").join((compose.SQL("{}::bigint").format(at << GROUP), *nulls))
    for column in columns:
        found = _hash(_text(column), found)
    return found


def _text(column: Column) -> compose.Composable:
    if not column.text:
        return compose.SQL("concat({})").format(_of(column))  # the output function of the type; '' for NULL
    return _of(column) if column.required else compose.SQL("coalesce({}, '')").format(_of(column))


def _of(column: Column) -> compose.Composable:
    return compose.Identifier("t", column.name)


def _hash(text: compose.Composable, seed: compose.Composable) -> compose.Composed:
    return compose.SQL('pg_catalog.hashtextextended({} COLLATE "C", {})').format(text, seed)


def _digest(columns: Sequence[str], total: str) -> str:
    """Return the SHA-256, hex, of the column names and the sum of the rows' hashes."""
    return hashlib.sha256("\n".join((*columns, total)).encode()).hexdigest()
