"""Objects of a user that no dump contains: those in schemas that PostgreSQL brings, of which pg_dump writes nothing."""

from collections.abc import Iterator
from itertools import groupby

from harness.core.service import Sql
from harness.postgres.contents.rows import qualified
from harness.postgres.identity import ask

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
SHOWN = 5  # objects of a schema that a line names


def undumped(sql: Sql, database: str) -> Iterator[tuple[str, str]]:
    """Yield each such schema of a database, and what of a user is in it. Raises HarnessError."""
    rows = [(str(schema), str(kind), str(name)) for schema, kind, name in ask(sql, UNDUMPED, database)]
    for schema, found in groupby(rows, lambda row: row[0]):
        names = [f"{kind} {qualified(schema, name)}" for _, kind, name in found]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield schema, ", ".join(names[:SHOWN]) + more
