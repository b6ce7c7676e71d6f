"""Owners and privileges of a restored database: data of the dump's entries, not statements of it.

pg_restore runs without them, as the role that restores owns everything then. An owner is applied to the object that the
server itself names; a grant is taken apart and must have the one form that pg_dump writes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from harness.core.errors import HarnessError, RestoreFailed
from harness.core.service import Sql
from harness.postgres.allowed import Allowed, remedy
from harness.postgres.restoring.superuser import NAME
from harness.postgres.restoring.toc import Entry
from harness.postgres.server import connect, one_line, said
from harness.postgres.session import RAW, Connection

AT_ONCE = 200  # statements of one message, and of one transaction; the server itself wrote them
SHOWN = 5
BLOBS = ("BLOB", "BLOB METADATA")
# What pg_dump tags an object with, and what ALTER calls it.
KINDS = """
WITH text_of AS (
    SELECT pg_catalog.getdatabaseencoding() AS encoding
), made (class, object, owner, kind, schema, name) AS (
    SELECT c.tableoid, c.oid, c.relowner, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
           WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, c.relnamespace, c.relname::text
    FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND NOT EXISTS (
        -- A sequence of a column has the owner of its table.
        SELECT FROM pg_catalog.pg_depend d WHERE c.relkind = 'S' AND d.classid = c.tableoid AND d.objid = c.oid
        AND d.refclassid = c.tableoid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i'))
    UNION ALL SELECT t.tableoid, t.oid, t.typowner, CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,
           t.typnamespace, t.typname
    FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('b', 'd', 'e', 'r') OR c.relkind = 'c' OR NOT t.typisdefined)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_type a WHERE a.typarray = t.oid)
    UNION ALL SELECT p.tableoid, p.oid, p.proowner,
           CASE p.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.pronamespace,
           p.proname || '(' || coalesce((
               SELECT string_agg(pg_catalog.format_type(a.type, NULL), ', ' ORDER BY a.n)
               FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS a (type, n)
           ), CASE p.prokind WHEN 'a' THEN '*' ELSE '' END) || ')'
    FROM pg_catalog.pg_proc p
    UNION ALL SELECT tableoid, oid, nspowner, 'SCHEMA', 0, nspname FROM pg_catalog.pg_namespace
    UNION ALL SELECT tableoid, oid, oprowner, 'OPERATOR', oprnamespace, pg_catalog.format('%%s (%%s, %%s)', oprname,
           coalesce(pg_catalog.format_type(nullif(oprleft, 0), NULL), 'NONE'),
           coalesce(pg_catalog.format_type(nullif(oprright, 0), NULL), 'NONE')) FROM pg_catalog.pg_operator
    UNION ALL SELECT c.tableoid, c.oid, opcowner, 'OPERATOR CLASS', opcnamespace,
           pg_catalog.format('%%s USING %%I', opcname, amname)
    FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_am a ON a.oid = opcmethod
    UNION ALL SELECT f.tableoid, f.oid, opfowner, 'OPERATOR FAMILY', opfnamespace,
           pg_catalog.format('%%s USING %%I', opfname, amname)
    FROM pg_catalog.pg_opfamily f JOIN pg_catalog.pg_am a ON a.oid = opfmethod
    UNION ALL SELECT tableoid, oid, collowner, 'COLLATION', collnamespace, collname FROM pg_catalog.pg_collation
    UNION ALL SELECT tableoid, oid, conowner, 'CONVERSION', connamespace, conname FROM pg_catalog.pg_conversion
    UNION ALL SELECT tableoid, oid, dictowner, 'TEXT SEARCH DICTIONARY', dictnamespace, dictname
    FROM pg_catalog.pg_ts_dict
    UNION ALL SELECT tableoid, oid, cfgowner, 'TEXT SEARCH CONFIGURATION', cfgnamespace, cfgname
    FROM pg_catalog.pg_ts_config
    UNION ALL SELECT tableoid, oid, stxowner, 'STATISTICS', stxnamespace, stxname FROM pg_catalog.pg_statistic_ext
    UNION ALL SELECT tableoid, oid, srvowner, 'SERVER', 0, srvname FROM pg_catalog.pg_foreign_server
    UNION ALL SELECT tableoid, oid, fdwowner, 'FOREIGN DATA WRAPPER', 0, fdwname
    FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL SELECT tableoid, oid, evtowner, 'EVENT TRIGGER', 0, evtname FROM pg_catalog.pg_event_trigger
    UNION ALL SELECT tableoid, oid, pubowner, 'PUBLICATION', 0, pubname FROM pg_catalog.pg_publication
    UNION ALL SELECT tableoid, oid, subowner, 'SUBSCRIPTION', 0, subname FROM pg_catalog.pg_subscription
    WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    UNION ALL SELECT tableoid, oid, lanowner, 'PROCEDURAL LANGUAGE', 0, lanname FROM pg_catalog.pg_language
    UNION ALL SELECT 'pg_catalog.pg_largeobject'::regclass, oid, lomowner, 'BLOB', 0, oid::text
    FROM pg_catalog.pg_largeobject_metadata
), wanted (kind, schema, name, owner) AS (
    SELECT * FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::bytea[]),
                             pg_catalog.unnest(%s::bytea[]), pg_catalog.unnest(%s::bytea[])) AS w
), matched AS (
    SELECT m.*, r.oid AS role, r.rolname, r.rolsuper
    FROM made m CROSS JOIN text_of LEFT JOIN pg_catalog.pg_namespace n ON n.oid = m.schema
    JOIN wanted w ON w.kind = m.kind AND w.name = pg_catalog.convert_to(m.name, encoding)
      AND w.schema = pg_catalog.convert_to(coalesce(n.nspname::text, ''), encoding)
    JOIN pg_catalog.pg_roles r ON pg_catalog.convert_to(r.rolname::text, encoding) = w.owner
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = m.class AND d.objid = m.object AND d.deptype = 'e')
)
"""
STATEMENTS = f"""{KINDS}
SELECT pg_catalog.convert_to(pg_catalog.format(
    'ALTER %%s %%s OWNER TO %%I', CASE WHEN kind IN ('FUNCTION', 'PROCEDURE', 'AGGREGATE') THEN 'ROUTINE'
    WHEN kind = 'BLOB' THEN 'LARGE OBJECT' WHEN kind = 'PROCEDURAL LANGUAGE' THEN 'LANGUAGE' ELSE kind END,
    i.identity, rolname), encoding)
FROM matched CROSS JOIN text_of, LATERAL pg_catalog.pg_identify_object(class, object, 0) AS i WHERE owner <> role
"""  # noqa: S608
# Whoever may call such a function acts as a superuser in it.
OF_SUPERUSERS = f"""{KINDS}
SELECT i.identity, rolname FROM matched JOIN pg_catalog.pg_proc p ON p.tableoid = class AND p.oid = object,
LATERAL pg_catalog.pg_identify_object(class, object, 0) AS i WHERE p.prosecdef AND rolsuper ORDER BY 1
"""  # noqa: S608
PRIVILEGE = rb"[A-Z]+(?: [A-Z]+)?(?:\(%b\))?" % NAME
ARGUMENTS = rb"""\((?:[^()"']|"(?:[^"]|"")*")*\)"""
IN_SCHEMAS = rb"TABLE|SEQUENCE|FUNCTION|PROCEDURE|ROUTINE|TYPE|DOMAIN"
ALONE = rb"SCHEMA|LANGUAGE|FOREIGN DATA WRAPPER|FOREIGN SERVER"
OBJECT = rb"(?:(?P<kind>%b) (?P<schema>%b)\.(?P<name>%b(?:%b)?)|(?:%b) %b|LARGE OBJECT [0-9]+)" % (
    *(IN_SCHEMAS, NAME, NAME, ARGUMENTS, ALONE, NAME),
)
GRANT = re.compile(
    rb"(?:GRANT|REVOKE(?: GRANT OPTION FOR)?) %b(?:, ?%b)* ON %b (?:TO|FROM) (?:PUBLIC|%b)(?: WITH GRANT OPTION)?;\s*"
    % (PRIVILEGE, PRIVILEGE, OBJECT, NAME)
)
SWITCH = re.compile(rb"(?:SET SESSION AUTHORIZATION %b|RESET SESSION AUTHORIZATION);\s*" % NAME)
SYSTEM = (b"pg_", b"information_schema")  # begins of the names of schemas that PostgreSQL brings


def refused_grants(entries: Iterable[Entry], allowed: Allowed) -> Iterator[str]:
    """Yield a line for each grant on what PostgreSQL brings that nothing allows: it may read the server's files.

    Raises RestoreFailed for an entry that is no grant as pg_dump writes them.
    """
    for entry in entries:
        if entry.kind == "ACL" and (system := _on_system(entry)):
            key = f"grant {system}"
            if not allowed.permits(key):
                yield f"{entry}: {remedy(key)}"


def _on_system(entry: Entry) -> str:
    """Return the object of PostgreSQL itself that an entry grants on, "" for another, and where it only revokes."""
    for match in _grants(entry):
        if match[0].startswith(b"REVOKE"):
            continue  # it only takes away
        schema = (match.groupdict().get("schema") or b"").strip(b'"')
        if schema.startswith(SYSTEM):
            where = b"%b %b.%b" % (match["kind"], schema, match["name"])
            return where.decode(errors="backslashreplace")
    return ""


def _grants(entry: Entry) -> Iterator[re.Match[bytes]]:
    at = 0
    while at < len(entry.text):
        grant = GRANT.match(entry.text, at)
        other = grant or SWITCH.match(entry.text, at)
        if other is None:
            raise RestoreFailed(f"{entry}: it is no grant as pg_dump writes them; use another backup")
        if grant:
            yield grant
        at = other.end()


def align_owners(sql: Sql, database: str, entries: Sequence[Entry], allowed: Allowed) -> None:
    """Give every object of a restored database the owner that its entry names. Raises RestoreFailed."""
    words = _words(entries)
    with _session(sql, database) as connection:
        found = connection.execute(OF_SUPERUSERS.encode(), words).fetchall()
        wrong = [(str(name), str(owner)) for name, owner in found if not allowed.permits(f"function {name}")]
        if wrong:
            named = ", ".join(f"{name} of {owner}" for name, owner in wrong[:SHOWN])
            raise HarnessError(
                f"functions that run as a superuser, whoever calls them: {named}; {remedy(f'function {wrong[0][0]}')}"
            )
        texts = [bytes(text) for (text,) in connection.execute(STATEMENTS.encode(), words).fetchall()]
        for first in range(0, len(texts), AT_ONCE):
            connection.execute(b";\n".join(texts[first : first + AT_ONCE]))


def grant_all(sql: Sql, database: str, entries: Iterable[Entry]) -> None:
    """Make the grants of a restored database. Raises RestoreFailed."""
    with _session(sql, database) as connection:
        for entry in entries:
            tuple(_grants(entry))  # raises for anything else
            try:
                connection.execute(entry.text)
            except psycopg.Error as error:
                raise HarnessError(f"{entry}: {one_line(error)}") from error


def _words(entries: Iterable[Entry]) -> tuple[list[str], list[bytes], list[bytes], list[bytes]]:
    """Return kind, schema, name and owner of every object, each a list."""
    rows: list[tuple[str, bytes, bytes, bytes]] = []
    for entry in entries:
        kind = "BLOB" if entry.kind in BLOBS else "TYPE" if entry.kind == "SHELL TYPE" else entry.kind
        if f"'{kind}'" not in KINDS:
            continue  # it has no owner of its own: most entries are data, constraints and the like
        names = entry.text.split() if entry.kind == "BLOB METADATA" else [entry.name + entry.more]
        rows += [(kind, entry.schema, name, entry.owner) for name in names]
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], [row[3] for row in rows]


@contextmanager
def _session(sql: Sql, database: str) -> Iterator[Connection]:
    """Yield a superuser's session that speaks the database's encoding; every error in it is RestoreFailed."""
    try:
        with connect(sql, database, application="blackstart owners", reading=False) as connection:
            connection.execute(f"SET client_encoding = '{RAW}'".encode())
            connection.execute(b"SET search_path = ''")
            # As pg_restore has it: each statement is a commit, and would wait for the disk.
            connection.execute(b"SET synchronous_commit = off")
            yield connection
    except (psycopg.Error, HarnessError) as error:
        raise RestoreFailed(f"database {database} at {sql.outside}: {said(error)}") from error
