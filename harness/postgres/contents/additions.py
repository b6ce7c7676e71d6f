"""What a user added to tables and views of an extension: pg_dump leaves those to CREATE EXTENSION, additions too.

Nothing in the catalogues says who added it. What CREATE EXTENSION makes has the transaction of the membership; what
ALTER EXTENSION ... UPDATE or pg_upgrade made looks as if a user had added it, and is named too. So are a column with a
privilege of its own, and options that an extension gave a table with privileges: GRANT writes their rows anew.
"""

from collections.abc import Iterator
from itertools import groupby

from harness.core.text import some
from harness.postgres.contents.rows import qualified
from harness.postgres.session import Connection

ADDED = """
WITH member (oid, made, extension, kind, schema, name, own) AS (
    SELECT c.oid, d.xmin, e.extname::text,
           CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialised view' WHEN 'f' THEN 'foreign table'
           ELSE 'table' END, n.nspname::text, c.relname::text,
           c.xmin <> d.xmin AND (c.relrowsecurity OR c.reloptions IS NOT NULL OR
                                 c.relreplident <> CASE WHEN c.relkind IN ('r', 'p', 'm') THEN 'd' ELSE 'n' END)
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
    JOIN pg_catalog.pg_class c ON c.oid = d.objid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_extension'::regclass
      AND d.deptype = 'e' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
), added (class, oid, relation) AS (
    SELECT DISTINCT d.classid, d.objid, member.oid FROM member JOIN pg_catalog.pg_depend d
      ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = member.oid
     AND d.deptype IN ('a', 'i') AND d.xmin <> member.made
), part (relation, what) AS (
    SELECT a.relation, 'index ' || quote_ident(c.relname) FROM added a JOIN pg_catalog.pg_class c ON c.oid = a.oid
    WHERE a.class = 'pg_catalog.pg_class'::regclass AND c.relkind IN ('i', 'I')
    UNION ALL
    SELECT a.relation, 'trigger ' || quote_ident(t.tgname) FROM added a JOIN pg_catalog.pg_trigger t ON t.oid = a.oid
    WHERE a.class = 'pg_catalog.pg_trigger'::regclass AND NOT t.tgisinternal
    UNION ALL
    SELECT member.oid, 'trigger ' || quote_ident(t.tgname)  -- switched on or off
    FROM member JOIN pg_catalog.pg_trigger t ON t.tgrelid = member.oid
    WHERE NOT t.tgisinternal AND t.xmin <> member.made AND t.tgenabled <> 'O'
    UNION ALL
    SELECT a.relation, CASE r.rulename WHEN '_RETURN' THEN 'its query' ELSE 'rule ' || quote_ident(r.rulename) END
    FROM added a JOIN pg_catalog.pg_rewrite r ON r.oid = a.oid WHERE a.class = 'pg_catalog.pg_rewrite'::regclass
    UNION ALL
    SELECT a.relation, 'policy ' || quote_ident(p.polname) FROM added a JOIN pg_catalog.pg_policy p ON p.oid = a.oid
    WHERE a.class = 'pg_catalog.pg_policy'::regclass
    UNION ALL
    SELECT a.relation, 'constraint ' || quote_ident(c.conname)
    FROM added a JOIN pg_catalog.pg_constraint c ON c.oid = a.oid AND c.conrelid = a.relation
    WHERE a.class = 'pg_catalog.pg_constraint'::regclass
    UNION ALL
    SELECT a.relation, 'statistics ' || quote_ident(s.stxname)
    FROM added a JOIN pg_catalog.pg_statistic_ext s ON s.oid = a.oid
    WHERE a.class = 'pg_catalog.pg_statistic_ext'::regclass
    UNION ALL
    SELECT a.relation, 'default of ' || quote_ident(c.attname)
    FROM added a JOIN pg_catalog.pg_attrdef f ON f.oid = a.oid
    JOIN pg_catalog.pg_attribute c ON c.attrelid = f.adrelid AND c.attnum = f.adnum
    WHERE a.class = 'pg_catalog.pg_attrdef'::regclass
    UNION ALL
    SELECT member.oid, 'column ' || quote_ident(c.attname)
    FROM member JOIN pg_catalog.pg_attribute c ON c.attrelid = member.oid
    WHERE c.attnum > 0 AND NOT c.attisdropped AND c.xmin <> member.made
    UNION ALL
    SELECT member.oid, 'its options (row security, replica identity, storage)' FROM member WHERE own
)
SELECT member.extension, member.kind, member.schema, member.name, part.what
FROM member JOIN part ON part.relation = member.oid ORDER BY 3, 4, 5
"""
SHOWN = 10  # additions to a table that a line names


def additions(connection: Connection) -> Iterator[str]:
    """Yield a line for each table or view of an extension that something was added to. Raises psycopg.Error."""
    rows = connection.execute(ADDED.encode()).fetchall()
    for (extension, kind, schema, name), found in groupby(rows, lambda row: row[:4]):
        parts = list(dict.fromkeys(str(what) for *_, what in found))
        where = f"{kind} {qualified(schema, name)} of extension {extension}"
        yield f"{where}: may have been added or changed, and is in no dump: {some(parts, SHOWN)}"
