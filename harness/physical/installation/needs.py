"""What the databases of a server need of its installation, asked of the server when a base backup is taken."""

from dataclasses import replace

import psycopg

from harness.core.contents import DatabaseNeeds, Needs
from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.postgres.contents.properties import COLLATION, read_collations
from harness.postgres.identity import ask
from harness.postgres.server import connect, one_line
from harness.postgres.session import Connection

SHARED, SESSION, LOCAL = PRELOADS = "shared_preload_libraries", "session_preload_libraries", "local_preload_libraries"
PATH = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'dynamic_library_path'"
# A setting goes by its name alone where it is in the data folder, and so in the base backup. Our own sessions load no
# library: what the server says of the last two in one is not what its files say.
NAMED = """
SELECT s.name || CASE WHEN s.sourcefile IS NULL THEN ' of its command line'
       WHEN starts_with(s.sourcefile, d.setting || '/') THEN '' ELSE ' in ' || s.sourcefile END, s.setting
"""
DATA = "JOIN pg_catalog.pg_settings d ON d.name = 'data_directory'"
STARTED = f"{NAMED} FROM pg_catalog.pg_settings s {DATA} WHERE s.name = '{SHARED}'"
MAY_READ_FILES = """
SELECT pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE')
   AND pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', 'SELECT')
"""
OF_FILES = f"{NAMED} FROM pg_catalog.pg_file_settings s {DATA} WHERE s.name IN ('{SESSION}', '{LOCAL}') AND s.applied"
# Not filtered by the server: what was set in a database of another encoding may be no text there.
OF_ROLES = """
SELECT concat('', ' of role ' || pg_catalog.quote_ident(r.rolname),
              ' of database ' || pg_catalog.quote_ident(d.datname)), line
FROM pg_catalog.pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS line
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
"""
DATABASES = """
SELECT datname::text, datlocprovider::text, datcollate::text, datctype::text FROM pg_catalog.pg_database
WHERE datallowconn AND datconnlimit <> -2 ORDER BY 1
"""
# Of the functions in C that initdb did not make, each with the extension that brought it.
LIBRARIES = """
SELECT DISTINCT p.probin::text, coalesce(e.extname::text, '')
FROM pg_catalog.pg_proc p
LEFT JOIN pg_catalog.pg_depend d
       ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE p.prolang = 13 AND p.oid >= 16384 AND p.probin IS NOT NULL ORDER BY 1, 2
"""


def read_needs(sql: Sql) -> Needs:
    """Return what a server and its databases need. Raises HarnessError when the server does not answer.

    Which libraries it loads at its start only a role with `pg_read_all_settings` is told.
    """
    files = ask(sql, MAY_READ_FILES) == [(True,)]
    started = ask(sql, STARTED)
    rows = (*started, *(ask(sql, OF_FILES) if files else ()))
    found = [(str(name), str(text)) for name, text in rows]
    for of, line in sorted((str(of), str(line)) for of, line in ask(sql, OF_ROLES)):
        name, _, text = line.partition("=")
        if name in (SESSION, LOCAL):
            found.append((f"{name}{of}", text))
    untold = (*(() if started else (SHARED,)), *(() if files else (SESSION, LOCAL)))
    preloaded = tuple((name, library) for name, text in found for library in _listed(text))
    databases = ((str(name), str(by), str(collate), str(ctype)) for name, by, collate, ctype in ask(sql, DATABASES))
    path = "".join(str(value) for (value,) in ask(sql, PATH))
    return Needs(path, preloaded, tuple(_of_database(sql, DatabaseNeeds(*row)) for row in databases), untold)


def _listed(text: str) -> list[str]:
    """Return the libraries of a setting: separated by commas, each perhaps in double quotes."""
    return [name for part in text.split(",") if (name := part.strip().strip('"'))]


def _of_database(sql: Sql, found: DatabaseNeeds) -> DatabaseNeeds:
    try:
        with connect(sql, found.name) as connection:
            return replace(found, libraries=read_libraries(connection), collations=_collations(connection))
    except psycopg.Error as error:
        return replace(found, unread=one_line(error))
    except HarnessError as error:  # one that the role of the backup may not connect to is in the base backup too
        return replace(found, unread=str(error))


def read_libraries(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Return the libraries of a database's functions, each with its extension or "". Raises psycopg.Error."""
    return tuple((str(library), str(extension)) for library, extension in connection.execute(LIBRARIES).fetchall())


def _collations(connection: Connection) -> tuple[tuple[str, str], ...]:
    return tuple((name.removeprefix(COLLATION), version) for name, version in read_collations(connection))
