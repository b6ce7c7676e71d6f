"""Facts of a database that neither its rows nor its schema text hold, and what of it is not compared."""

import re
from collections.abc import Collection, Iterable, Iterator

from psycopg import sql as compose

from harness.postgres.contents.additions import additions
from harness.postgres.contents.rows import qualified
from harness.postgres.extensions.functions import CHANGED, changed_functions, left_out
from harness.postgres.session import Connection

EXTENSIONS = "SELECT extname::text, extversion FROM pg_catalog.pg_extension ORDER BY 1"
PUBLIC = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public'"
# A null list of grants means the default; after a GRANT and its REVOKE the same stands written out.
LARGE_OBJECTS = """
SELECT coalesce(sum(pg_catalog.hashtextextended(concat_ws(' ', m.oid, pg_catalog.pg_get_userbyid(m.lomowner), (
    SELECT string_agg(concat_ws('/', pg_catalog.pg_get_userbyid(nullif(a.grantee, 0)), a.privilege_type,
                                a.is_grantable, pg_catalog.pg_get_userbyid(a.grantor)) COLLATE "C", ' ' ORDER BY
                      concat_ws('/', pg_catalog.pg_get_userbyid(nullif(a.grantee, 0)), a.privilege_type) COLLATE "C")
    FROM pg_catalog.aclexplode(coalesce(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) AS a
), pg_catalog.obj_description(m.oid, 'pg_largeobject')) COLLATE "C", 0)), 0)::text, count(*)
FROM pg_catalog.pg_largeobject_metadata m
"""
# Those in use whose order has a version: made by a user, or of a column, an index, a domain or a type of one. With the
# version by which indexes were built, and that by which the server sorts.
COLLATIONS = """
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname), c.collversion,
       pg_catalog.pg_collation_actual_version(c.oid)
FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
WHERE c.collprovider <> 'd' AND (c.oid >= 16384 OR EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.refclassid = 'pg_catalog.pg_collation'::regclass AND d.refobjid = c.oid AND d.objid >= 16384))
ORDER BY 1
"""
OWN = "of the database"  # the name of the collation of a database itself, here
OF_DATABASE = """
SELECT 'of the database', datcollversion, pg_catalog.pg_database_collation_actual_version(oid)
FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
"""
KNOWN_SINCE = 150000  # first version that knows the version of a database's collation
OBJECTS = "large objects"  # the property with their owners, grants and comments
EXTENSION = "extension "  # a property with the version of one begins with it
PLPGSQL = f"{EXTENSION}plpgsql"
NO_PUBLIC = "no schema public"  # a property: it was dropped, of which a dump says nothing
MEMBER = "table of extension "  # a property begins with it: whether one that no dump holds had rows
ROWS = "rows"
COLLATION = "collation "  # likewise; it may differ after a restore, which builds indexes anew
# Begins of properties that may differ after a restore. A changed function is changed by it where it is another.
ON_THEIR_OWN = (COLLATION, CHANGED)
NOT_COMPARED = """
SELECT CASE relkind WHEN 'f' THEN 'foreign table' ELSE 'materialised view' END, n.nspname::text, c.relname::text,
       CASE relkind WHEN 'f' THEN 'its rows are on another server' ELSE 'its rows are computed by the restore' END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE relkind IN ('f', 'm')
UNION ALL
SELECT 'sequence', n.nspname, c.relname, 'it cycles, its value is not compared'
FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE s.seqcycle
UNION ALL
SELECT 'table', n.nspname, c.relname, 'values of generated columns are computed by the restore'
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND EXISTS (
    SELECT FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attgenerated = 's' AND NOT attisdropped)
UNION ALL
SELECT 'index', n.nspname, c.relname, 'it is invalid, no dump has it; build it anew by REINDEX, or drop it'
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (NOT i.indisready OR NOT i.indisvalid AND c.relkind <> 'I') AND n.nspname !~ '^pg_'
UNION ALL
SELECT 'table', n.nspname, c.relname, 'its DETACH was interrupted, and a restore makes it a partition again'
FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE i.inhdetachpending
UNION ALL
SELECT 'table', n.nspname, c.relname, 'triggers of its foreign keys are disabled, and a restore enables them'
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE EXISTS (SELECT FROM pg_catalog.pg_trigger
              WHERE tgrelid = c.oid AND tgisinternal AND tgconstraint <> 0 AND tgenabled <> 'O' AND tgparentid = 0)
UNION ALL
SELECT 'subscription', '', subname, 'of its definition, only name and owner'
FROM pg_catalog.pg_subscription
WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY 1, 2, 3
"""
# pg_dump leaves them to CREATE EXTENSION, unless the extension marked them as configuration.
OF_EXTENSIONS = """
SELECT n.nspname::text, c.relname::text, e.extname::text, c.oid
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'e' AND c.relkind = 'r'
  AND (e.extconfig IS NULL OR c.oid <> ALL (e.extconfig))
ORDER BY 1, 2
"""
SHOWN = 20  # of a kind; the others are a number


def read_properties(connection: Connection, without: Collection[int] = ()) -> tuple[tuple[str, str], ...]:
    """Return versions of extensions and of collations, tables of extensions, and facts of large objects.

    And functions of extensions that were changed, and whether the schema public was dropped. The last facts are owners,
    grants and comments. `without`: OIDs of tables that are not read. Raises psycopg.Error.
    """
    found = [(f"{EXTENSION}{name}", version) for name, version in connection.execute(EXTENSIONS).fetchall()]
    if not connection.execute(PUBLIC).fetchall():
        found.append((NO_PUBLIC, ""))
    found += ((f"{MEMBER}{name}: {label}", some) for label, name, some in _tables_of_extensions(connection, without))
    found += changed_functions(connection)
    ((digest, objects),) = connection.execute(LARGE_OBJECTS).fetchall()
    return (*found, *read_collations(connection), *([(OBJECTS, digest)] if objects else ()))


def read_collations(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Return the versions by which the collations in use sort, each a property. Raises psycopg.Error."""
    return tuple((f"{COLLATION}{name}", actual) for name, _, actual in _collations(connection) if actual is not None)


def outdated(connection: Connection) -> tuple[str, ...]:
    """Return a line for each collation by whose version the server sorts no more. Raises psycopg.Error."""
    return tuple(
        f"{COLLATION}{name}: indexes were built by version {recorded}, and this server sorts by {actual}: on text they "
        f"may be wrong here and in a base backup, a dump has none of them; {rebuild(name)}"
        for name, recorded, actual in _collations(connection)
        if recorded is not None and actual is not None and recorded != actual
    )


def rebuild(collation: str) -> str:
    """Return what to do with indexes that another version of a collation built."""
    what = "DATABASE NAME REFRESH COLLATION VERSION" if collation == OWN else f"COLLATION {collation} REFRESH VERSION"
    return f"REINDEX DATABASE NAME, then ALTER {what}"


def _collations(connection: Connection) -> list[tuple[str, str | None, str | None]]:
    """Return name, recorded and actual version of the collations in use."""
    queries = (OF_DATABASE, COLLATIONS) if connection.info.server_version >= KNOWN_SINCE else (COLLATIONS,)
    return [row for query in queries for row in connection.execute(query.encode()).fetchall()]


def other_versions(found: Iterable[tuple[str, str]], expected: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each collation that sorts by another version of its library than it did in the backup."""
    there = dict(expected)
    for name, version in found:
        if name.startswith(COLLATION) and there.get(name, version) != version:
            yield (
                f"{name}: version {version} here, {there[name]} in the backup: text may be sorted differently; "
                "indexes were built here"
            )


def read_not_compared(connection: Connection, without: Collection[int] = ()) -> tuple[str, ...]:
    """Return a line for each thing that a restore computes, or that no dump holds, but for tables of these OIDs.

    Raises psycopg.Error.
    """
    lines = [
        ("indexes" if what == "index" else f"{what}s", f"{what} {qualified(schema, name) if schema else name}: {why}")
        for what, schema, name, why in connection.execute(NOT_COMPARED).fetchall()
    ]
    for label, extension, some in _tables_of_extensions(connection, without):
        if some:
            lines.append(("tables of extensions", f"table {label} of extension {extension}: its rows are in no dump"))
    lines += [("changed members of extensions", line) for line in additions(connection)]
    if number := left_out(connection):
        what = "functions of extensions"
        lines.append((what, f"{number} {what} on which nothing depends: their changes, if any, are in no dump"))
    lines += [("collations", line) for line in outdated(connection)]
    return tuple(_shortened(lines))


def _tables_of_extensions(connection: Connection, without: Collection[int]) -> Iterator[tuple[str, str, str]]:
    """Yield name and extension of each table whose rows are in no dump, and ROWS when it has any, else ""."""
    for schema, name, extension, oid in connection.execute(OF_EXTENSIONS).fetchall():
        if oid in without:
            continue
        some = compose.SQL("SELECT 1 FROM {} LIMIT 1").format(compose.Identifier(schema, name))
        yield qualified(schema, name), extension, ROWS if connection.execute(some).fetchall() else ""


def _shortened(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield at most SHOWN lines of a kind, and the number of the others."""
    count: dict[str, int] = {}
    for kind, line in lines:
        count[kind] = count.get(kind, 0) + 1
        if count[kind] <= SHOWN:
            yield line
    yield from (f"{number - SHOWN} more {kind}" for kind, number in count.items() if number > SHOWN)


def differences(found: Iterable[tuple[str, str]], expected: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield how properties differ, one line each: a restore makes an extension's default version, maybe a newer one."""
    here, there = ({name: v for name, v in of if not name.startswith(ON_THEIR_OWN)} for of in (found, expected))
    if PLPGSQL not in there:  # every new database has it, and pg_dump never drops it
        here.pop(PLPGSQL, None)
    if NO_PUBLIC in there and NO_PUBLIC not in here:
        yield "schema public: not in the backup"
    here.pop(NO_PUBLIC, None)
    there.pop(NO_PUBLIC, None)
    for name in here.keys() | there.keys():
        if name.startswith(MEMBER):  # one that `ALTER EXTENSION ... ADD` made a member is not made by CREATE EXTENSION
            if name not in here and there[name] == ROWS:
                yield f"{name}: missing"
        elif name not in here:
            yield f"{name}: missing"
        elif name not in there:
            yield f"{name}: not in the backup"
        elif here[name] != there[name] and not name.startswith(EXTENSION):
            yield f"{name}: other owners, grants or comments"
        elif name.startswith(EXTENSION) and _version(here[name]) < _version(there[name]):
            yield f"{name}: version {here[name]}, expected {there[name]} or newer"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))
