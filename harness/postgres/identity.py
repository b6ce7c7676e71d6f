"""Identity of a PostgreSQL server, and the list of its databases."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from harness.core.contents import SystemFacts
from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.postgres.server import connect, one_line

SYSTEM = """
SELECT s.system_identifier::text, current_setting('server_version'), c.timeline_id
FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c
"""
CATALOGUE = """
SELECT d.datname, d.datallowconn, d.datistemplate, d.datconnlimit, pg_catalog.pg_get_userbyid(d.datdba), d.oid
FROM pg_catalog.pg_database d ORDER BY d.datname
"""
# Every object of a user has an OID of 16384 or more. After pg_upgrade the parts of plpgsql have such an OID as well;
# the schemas of temporary tables are no user's data.
CREATED = """
WITH temporary AS (
    SELECT oid FROM pg_catalog.pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_'
), own AS (
    {own}
)
SELECT 1 FROM (
{objects}
) AS o WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM own WHERE own.objid = o.oid AND own.classid = o.tableoid)
"""
OF_PLPGSQL = """
SELECT classid, objid FROM pg_catalog.pg_depend
WHERE deptype = 'e' AND refobjid IN (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'plpgsql')
"""
OF_SCHEMA = (("class", "relnamespace"), ("proc", "pronamespace"), ("type", "typnamespace"))
OF_DATABASE = (
    *("am", "cast", "collation", "constraint", "conversion", "default_acl", "event_trigger", "foreign_data_wrapper"),
    *("foreign_server", "language", "opclass", "operator", "opfamily", "policy", "publication", "rewrite"),
    *("statistic_ext", "transform", "trigger", "ts_config", "ts_dict", "ts_parser", "ts_template", "user_mapping"),
)
# What a user changed on the objects that every new database has: settings, owner, limit, grants, labels.
CHANGED = """
SELECT 1 FROM pg_catalog.pg_db_role_setting s JOIN this ON s.setdatabase = this.oid
UNION ALL SELECT 1 FROM pg_catalog.pg_subscription s JOIN this ON s.subdbid = this.oid
UNION ALL SELECT 1 FROM pg_catalog.pg_shseclabel s JOIN this ON s.objoid = this.oid
UNION ALL SELECT 1 FROM pg_catalog.pg_seclabel
UNION ALL SELECT 1 FROM pg_catalog.pg_largeobject_metadata
UNION ALL SELECT 1 FROM this WHERE datdba <> 10 OR datconnlimit <> -1 OR coalesce(datacl::text, '') NOT IN
    ('', format('{=c/%1$s,%1$s=CTc/%1$s}', pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(10))))
UNION ALL SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'public' AND nspowner NOT IN (10, 6171)
UNION ALL SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public')
UNION ALL SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'plpgsql')
UNION ALL SELECT 1 FROM (
    SELECT tableoid, oid, nspacl AS acl FROM pg_catalog.pg_namespace WHERE nspname <> 'information_schema'
    UNION ALL SELECT tableoid, oid, relacl FROM pg_catalog.pg_class WHERE relnamespace = 'pg_catalog'::regnamespace
    UNION ALL SELECT tableoid, oid, proacl FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
    UNION ALL SELECT tableoid, oid, typacl FROM pg_catalog.pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
    UNION ALL SELECT tableoid, oid, lanacl FROM pg_catalog.pg_language
) AS o LEFT JOIN pg_catalog.pg_init_privs i ON i.classoid = o.tableoid AND i.objoid = o.oid AND i.objsubid = 0
WHERE o.acl IS NOT NULL AND o.oid < 16384 AND o.acl IS DISTINCT FROM i.initprivs
"""
# Tables, views and sequences of a user: what a restore into a database of initdb could collide with.
OWN_TABLES = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = c.tableoid AND d.objid = c.oid AND d.deptype = 'e')
)
"""
MAINTENANCE = "postgres"  # initdb makes it
TEMPLATE = "template1"  # what CREATE DATABASE copies
INVALID = -2  # datconnlimit of a database that an interrupted DROP DATABASE left
PRISTINE = "template0"  # nobody can change it


def _created(own: str) -> str:
    schemas = [
        f"SELECT tableoid, oid FROM pg_catalog.pg_{name} WHERE {schema} NOT IN (SELECT oid FROM temporary)"  # noqa: S608
        for name, schema in OF_SCHEMA
    ]
    schemas.append("SELECT tableoid, oid FROM pg_catalog.pg_namespace WHERE oid NOT IN (SELECT oid FROM temporary)")
    schemas.append("SELECT tableoid, oid FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'")
    others = [f"SELECT tableoid, oid FROM pg_catalog.pg_{name}" for name in OF_DATABASE]  # noqa: S608
    return CREATED.replace("{own}", own).replace("{objects}", "\nUNION ALL ".join(schemas + others))


def filled(own: str = "") -> str:
    """Return the query whether a database has anything of a user. `own`: a query of what is not, by class and OID."""
    created = _created(f"{OF_PLPGSQL} UNION ALL {own}" if own else OF_PLPGSQL)
    return f"SELECT EXISTS (({created}) UNION ALL SELECT 1 FROM pg_catalog.pg_largeobject_metadata)"  # noqa: S608


def _touched() -> str:
    created = _created(OF_PLPGSQL)
    this = "SELECT * FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
    return f"WITH this AS ({this}) SELECT EXISTS (({created}) UNION ALL ({CHANGED}))"


TOUCHED = _touched()
FILLED = filled()


@dataclass(frozen=True, slots=True)
class DatabaseEntry:
    """A row of pg_database. `limit`: datconnlimit; `valid`: False after an interrupted DROP DATABASE.

    `oid`: what stays when it is renamed.
    """

    name: str
    connectable: bool
    template: bool
    limit: int
    valid: bool
    owner: str
    oid: int = field(default=0, compare=False)


def ask(sql: Sql, query: str, database: str = "", values: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """Return all rows of one query, run as the superuser, in any database without a `database`.

    Raises HarnessError, one line with server and database.
    """
    with connect(sql, database) as connection:
        try:
            return list(connection.execute(query.encode(), values or None).fetchall())
        except psycopg.Error as error:
            raise HarnessError(
                f"PostgreSQL at {sql}, database {database or sql.database}: {one_line(error)}"
            ) from error


def system_facts(sql: Sql) -> SystemFacts:
    """Return the server's `system_identifier`, version and timeline. Raises HarnessError."""
    ((identifier, version, timeline),) = ask(sql, SYSTEM)
    return SystemFacts(str(identifier), str(version).split()[0], int(str(timeline)))


def catalogue(sql: Sql) -> tuple[DatabaseEntry, ...]:
    """Return every database of the server, templates and closed ones too, sorted by name. Raises HarnessError."""
    return tuple(_entry(*row) for row in ask(sql, CATALOGUE))


def _entry(
    name: object, connectable: object, template: object, limit: object, owner: object, oid: object
) -> DatabaseEntry:
    at_most, valid = int(str(limit)), int(str(limit)) != INVALID
    return DatabaseEntry(str(name), bool(connectable), bool(template), at_most, valid, str(owner), int(str(oid)))


def holds_user_data(sql: Sql, name: str) -> bool:
    """Return whether a database has anything of a user; False only for untouched ones of initdb. Raises HarnessError.

    `template1` and `postgres` count when something was created or changed in them: a table, function, type, schema,
    extension other than plpgsql, setting, grant.
    """
    return name != PRISTINE and (name not in (MAINTENANCE, TEMPLATE) or ask(sql, TOUCHED, name) == [(True,)])


def is_empty(sql: Sql, name: str) -> bool:
    """Return whether nobody has created anything in a database. Raises HarnessError."""
    return ask(sql, FILLED, name) == [(False,)]


def databases(sql: Sql) -> tuple[str, ...]:
    """Return the databases that hold user data and can be connected to, sorted. Raises HarnessError."""
    return tuple(d.name for d in catalogue(sql) if d.connectable and d.valid and holds_user_data(sql, d.name))


def occupied(sql: Sql) -> tuple[str, ...]:
    """Return the databases that keep a server from being the target of a restore, sorted. Raises HarnessError.

    Of initdb's only those that have tables of a user: their settings and extensions are no obstacle.
    """
    entries = [d for d in catalogue(sql) if d.name != PRISTINE]
    own = [d.name for d in entries if d.name in (MAINTENANCE, TEMPLATE)]
    free = [name for name in own if ask(sql, OWN_TABLES, name) == [(False,)]]
    return tuple(d.name for d in entries if d.name not in free)
