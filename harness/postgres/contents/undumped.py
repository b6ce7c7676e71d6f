"""What no dump contains: objects in schemas that PostgreSQL brings, and transactions that are prepared and open.

And what no base backup contains: the rows of unlogged tables.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from harness.core.contents import PREPARED
from harness.core.service import Sql
from harness.core.text import some
from harness.postgres.contents.rows import qualified
from harness.postgres.identity import ask
from harness.postgres.session import Connection

UNLOGGED = """
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'u' ORDER BY 1, 2
"""
# Of information_schema, which a superuser may make anew from a script, only what is not of that script.
UNDUMPED = """
SELECT n.nspname::text, o.kind, o.name FROM (
    SELECT c.oid, 'pg_catalog.pg_class'::regclass AS class, c.relnamespace AS schema, c.relname::text AS name,
           CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialised view' WHEN 'S' THEN 'sequence'
           WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind
    FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    UNION ALL
    SELECT p.oid, 'pg_catalog.pg_proc'::regclass, p.pronamespace, p.proname, 'function' FROM pg_catalog.pg_proc p
    UNION ALL
    SELECT t.oid, 'pg_catalog.pg_type'::regclass, t.typnamespace, t.typname, 'type' FROM pg_catalog.pg_type t
    WHERE t.typrelid = 0 AND t.typtype <> 'p' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type a WHERE a.typarray = t.oid)
) AS o JOIN pg_catalog.pg_namespace n ON n.oid = o.schema
WHERE o.oid >= 16384 AND (n.nspname = 'information_schema' OR n.nspname ~ '^pg_')
  AND n.nspname !~ '^pg_(toast|temp|toast_temp)(_|$)'
  AND NOT (n.nspname = 'information_schema' AND n.oid >= 16384 AND (o.kind <> 'table' OR o.name ~ '^sql_'))
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype IN ('e', 'i'))
ORDER BY 1, 2, 3
"""
PREPARED_HERE = """
SELECT database::text, gid, prepared::text, owner::text FROM pg_catalog.pg_prepared_xacts ORDER BY prepared, gid
"""
SHOWN = 5  # objects of a schema, or transactions of a database, that a line names

Prepared = tuple[str, str, str, str]  # database, name of the transaction, time of PREPARE TRANSACTION, role


def undumped(sql: Sql, database: str) -> Iterator[tuple[str, str]]:
    """Yield each such schema of a database, and what of a user is in it. Raises HarnessError."""
    rows = [(str(schema), str(kind), str(name)) for schema, kind, name in ask(sql, UNDUMPED, database)]
    for schema, found in groupby(rows, lambda row: row[0]):
        names = [f"{kind} {qualified(schema, name)}" for _, kind, name in found]
        yield schema, some(names, SHOWN)


def unlogged(connection: Connection) -> tuple[str, ...]:
    """Return the unlogged tables of a database, which are empty after a crash or from a base backup.

    Raises psycopg.Error.
    """
    return tuple(qualified(schema, name) for schema, name in connection.execute(UNLOGGED.encode()).fetchall())


def prepared(sql: Sql) -> tuple[Prepared, ...]:
    """Return the open transactions of a server that are prepared for a two-phase commit. Raises HarnessError."""
    rows = ask(sql, PREPARED_HERE)
    return tuple((str(database), str(gid), str(at), str(owner)) for database, gid, at, owner in rows)


def prepared_gaps(found: Sequence[Prepared]) -> Iterator[tuple[str, str]]:
    """Yield a name for the prepared transactions of each database, and in words which they are."""
    for database in dict.fromkeys(database for database, *_ in found):
        names = [f"{gid!r} of {at} by role {owner}" for of, gid, at, owner in found if of == database]
        yield f"{PREPARED}{database}", some(names, SHOWN)
