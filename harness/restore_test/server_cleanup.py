"""Cleanup of a database server after a restore test: what the restore added goes, what it changed is put back."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql as compose

from harness.core.errors import REPORTED, reason_of
from harness.core.service import Sql
from harness.postgres.identity import MAINTENANCE, TEMPLATE, ask
from harness.postgres.restoring.restorer import is_temporary
from harness.postgres.roles import restore
from harness.postgres.roles.check import differences
from harness.postgres.roles.data import Grant, ServerData, inspect
from harness.postgres.roles.grants import align
from harness.postgres.roles.initial import remake
from harness.postgres.server import connect, one_line
from harness.postgres.session import Connection

LARGE_OBJECT = "large object"
# Every object that somebody made in a database: kind and name as DROP takes them. Their OIDs are 16384 or more.
MADE = """
SELECT i.type, i.identity FROM (
    SELECT tableoid, oid FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
    UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        AND relpersistence <> 't'
    UNION ALL SELECT t.tableoid, t.oid FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
        WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm') AND t.typelem = 0 OR c.relkind = 'c'
    {others}
) AS o, LATERAL pg_catalog.pg_identify_object(o.tableoid, o.oid, 0) AS i WHERE o.oid >= 16384
"""
OTHERS = (
    *("proc", "operator", "opfamily", "opclass", "cast", "collation", "conversion", "extension", "event_trigger"),
    *("foreign_data_wrapper", "foreign_server", "publication", "subscription", "language", "statistic_ext", "am"),
    *("ts_config", "ts_dict", "ts_parser", "ts_template", "largeobject_metadata"),
)
SUBSCRIPTIONS_HERE = "(SELECT tableoid, oid FROM pg_catalog.pg_subscription s WHERE s.subdbid = (SELECT d.oid FROM"
SUBSCRIPTIONS_HERE += " pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()))"
# Grants on what PostgreSQL itself brings, and default privileges: only named when they are left.
PRIVILEGES = """
SELECT 'privileges', format('%s: %s', i.identity, o.acl) FROM (
    SELECT tableoid, oid, relacl AS acl FROM pg_catalog.pg_class UNION ALL
    SELECT tableoid, oid, proacl FROM pg_catalog.pg_proc UNION ALL
    SELECT tableoid, oid, typacl FROM pg_catalog.pg_type UNION ALL
    SELECT tableoid, oid, lanacl FROM pg_catalog.pg_language
) AS o, LATERAL pg_catalog.pg_identify_object(o.tableoid, o.oid, 0) AS i WHERE o.oid < 16384 AND o.acl IS NOT NULL
UNION ALL SELECT 'default privileges', format('of %s: %s', defaclrole::regrole, defaclacl)
FROM pg_catalog.pg_default_acl
"""
NAMED = ("privileges", "default privileges")
FORM = "encoding and locale"
KINDS = {"foreign-data wrapper": "FOREIGN DATA WRAPPER", "statistics object": "STATISTICS"}
FIRST = ("event trigger", "publication", "extension", "server", "foreign-data wrapper", "schema")
SCHEMAS = "SELECT nspname, pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE oid < 16384"
SCHEMA_GRANTS = """
SELECT n.nspname, pg_catalog.pg_get_userbyid(a.grantor),
       CASE a.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
FROM pg_catalog.pg_namespace n,
     pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS a WHERE n.oid < 16384
"""
SUBSCRIPTIONS = "SELECT s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid"
SUBSCRIPTIONS += " WHERE d.datname = pg_catalog.current_database()"
PREPARED = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()"
SLOTS = "SELECT slot_name, active_pid FROM pg_catalog.pg_replication_slots WHERE database = %s"
Step = Callable[[Connection], object]


@dataclass(frozen=True, slots=True)
class Contained:
    """What a database of initdb holds: objects, and owner and grants of its own schemas."""

    objects: frozenset[tuple[str, str]]
    owners: frozenset[tuple[str, str]]
    grants: frozenset[Grant]


@dataclass(frozen=True, slots=True)
class ServerSnapshot:
    """A database server before a restore. `kept`: the databases of initdb, into which a restore adds."""

    data: ServerData
    kept: Mapping[str, Contained]

    @property
    def names(self) -> frozenset[str]:
        """Names of the databases."""
        return frozenset(database.name for database in self.data.databases)

    @property
    def roles(self) -> frozenset[str]:
        """Names of the roles."""
        return frozenset(role.name for role in self.data.roles)


def take(sql: Sql) -> ServerSnapshot:
    """Return the inventory of a server; raises HarnessError."""
    data = inspect(sql)
    names = [d.name for d in data.databases if d.name in (MAINTENANCE, TEMPLATE) and d.connectable]
    return ServerSnapshot(data, {name: _contained(sql, name) for name in names})


def _contained(sql: Sql, name: str) -> Contained:
    others = [f"UNION ALL SELECT tableoid, oid FROM pg_catalog.pg_{kind}" for kind in OTHERS if kind != "subscription"]  # noqa: S608
    made = MADE.replace("{others}", "\n    ".join([*others, f"UNION ALL {SUBSCRIPTIONS_HERE}"]))
    objects = [*ask(sql, made, name), *ask(sql, PRIVILEGES, name)]
    owners = ask(sql, SCHEMAS, name)
    return Contained(
        frozenset((str(kind), str(identity)) for kind, identity in objects),
        frozenset((str(schema), str(owner)) for schema, owner in owners),
        frozenset(Grant(*row) for row in ask(sql, SCHEMA_GRANTS, name)),  # type: ignore[arg-type]
    )


def clear_server(
    sql: Sql, before: ServerSnapshot, restored: Collection[str], of_backup: Collection[str] | None = None
) -> tuple[list[str], list[str]]:
    """Make a server what it was: drop the `restored` databases and what is new, put back what was changed.

    `of_backup`: the only roles that may be dropped, beside those that a restore makes for itself; None: all new ones.
    Goes on after a failure. Returns what was removed, and what is left with its reason and its remedy, a line each.
    Raises HarnessError when the server does not answer.
    """
    now = take(sql)
    names = sorted((now.names - before.names) & set(restored))
    new = now.roles - before.roles
    kept = frozenset(r for r in new if of_backup is not None and r not in of_backup and not is_temporary(r))
    roles = sorted(new - kept)
    failures: dict[str, str] = {}

    def attempt(what: str, step: Callable[[], object]) -> None:
        try:
            step()
        except psycopg.Error as error:
            failures[what] = one_line(error)
        except REPORTED as error:
            failures[what] = reason_of(error)

    for name in names:
        _drop_database(sql, name, attempt)
    for name, earlier in before.kept.items():
        _put_back(sql, name, before.data, earlier, attempt)
    attempt("roles", lambda: restore.restore(sql, before.data, inspect(sql)))
    _drop_roles(sql, roles, attempt)
    left = list(_left(sql, before, kept, failures))
    stays = f"; kept, because the backup has no such role: {', '.join(sorted(kept))}" if kept else ""
    return [f"databases: {', '.join(names) or 'none'}", f"roles: {', '.join(roles) or 'none'}{stays}"], left


def _drop_database(sql: Sql, name: str, attempt: Callable[[str, Callable[[], object]], None]) -> None:
    """Drop a database with all that would keep it: template mark, subscriptions, prepared transactions, slots."""
    database = compose.Identifier(name)
    what = f"database {name}"
    options = compose.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true IS_TEMPLATE false").format(database)
    attempt(what, lambda: _run(sql, "", lambda connection: connection.execute(options)))
    attempt(what, lambda: _run(sql, name, _free_database))
    attempt(what, lambda: _run(sql, "", lambda connection: _drop_slots(connection, name)))
    drop = compose.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database)
    attempt(what, lambda: _run(sql, "", lambda connection: connection.execute(drop)))


def _free_database(connection: Connection) -> None:
    for (gid,) in connection.execute(PREPARED.encode()).fetchall():
        connection.execute(compose.SQL("ROLLBACK PREPARED {}").format(compose.Literal(gid)))
    for (name,) in connection.execute(SUBSCRIPTIONS.encode()).fetchall():
        subscription = compose.Identifier(name)
        for statement in ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)"):
            connection.execute(compose.SQL(statement).format(subscription))
        connection.execute(compose.SQL("DROP SUBSCRIPTION {}").format(subscription))


def _drop_slots(connection: Connection, database: str) -> None:
    for name, user in connection.execute(SLOTS, (database,)).fetchall():
        if user is not None:
            connection.execute("SELECT pg_catalog.pg_terminate_backend(%s, 5000)", (user,))
        connection.execute("SELECT pg_catalog.pg_drop_replication_slot(%s)", (name,))


def _put_back(
    sql: Sql, name: str, data: ServerData, earlier: Contained, attempt: Callable[[str, Callable[[], object]], None]
) -> None:
    """Remove what is new in a database of initdb, and put its own properties back."""
    what = f"database {name}"
    attempt(what, lambda: _run(sql, name, _free_database))
    # A restore may have made it anew.
    attempt(f"{FORM} of {what}", lambda: remake(sql, data, inspect(sql), (name,), again=True))
    attempt(what, lambda: _run(sql, name, lambda connection: _drop_objects(connection, _contained(sql, name), earlier)))
    attempt(what, lambda: _run(sql, name, lambda connection: _schemas(connection, earlier)))
    attempt(what, lambda: restore.create_database(sql, data, inspect(sql), name))
    attempt(what, lambda: restore.finish_database(sql, data, name))


def _drop_objects(connection: Connection, now: Contained, earlier: Contained) -> None:
    """Drop every new object; the last error is raised after all were tried."""
    new = [entry for entry in now.objects - earlier.objects if entry[0] not in NAMED]
    failed: psycopg.Error | None = None
    for kind, identity in sorted(new, key=lambda entry: FIRST.index(entry[0]) if entry[0] in FIRST else len(FIRST)):
        try:
            if kind == LARGE_OBJECT:
                connection.execute("SELECT pg_catalog.lo_unlink(%s)", (int(identity),))
                continue
            # The server itself wrote the name, quoted where needed.
            statement = f"DROP {KINDS.get(kind, kind.upper())} IF EXISTS {identity} CASCADE"
            connection.execute(statement.encode())
        except psycopg.Error as error:
            failed = error
    if failed is not None:
        raise failed


def _schemas(connection: Connection, earlier: Contained) -> None:
    """Give schemas of initdb their owner and their grants again."""
    here = {str(schema): str(owner) for schema, owner in connection.execute(SCHEMAS.encode()).fetchall()}
    for schema, owner in sorted(earlier.owners):
        if here.get(schema) != owner:
            words = compose.Identifier(schema), compose.Identifier(owner)
            connection.execute(compose.SQL("ALTER SCHEMA {} OWNER TO {}").format(*words))
        now = [Grant(*row) for row in connection.execute(SCHEMA_GRANTS.encode()).fetchall()]
        wanted = [grant for grant in earlier.grants if grant.on == schema]
        with connection.transaction():
            align(connection, "SCHEMA", [grant for grant in now if grant.on == schema], wanted, owner)


def _drop_roles(sql: Sql, roles: list[str], attempt: Callable[[str, Callable[[], object]], None]) -> None:
    """Drop roles with all that they own and were granted in the databases that are left."""
    if not roles:
        return
    owned = compose.SQL("DROP OWNED BY {} CASCADE").format(compose.SQL(", ").join(map(compose.Identifier, roles)))
    for name in [d.name for d in inspect(sql).databases if d.connectable]:
        attempt("roles", lambda name=name: _run(sql, name, lambda connection: connection.execute(owned)))  # type: ignore[misc]
    for role in roles:
        drop = compose.SQL("DROP ROLE IF EXISTS {}").format(compose.Identifier(role))
        attempt(f"role {role}", lambda drop=drop: _run(sql, "", lambda connection: connection.execute(drop)))  # type: ignore[misc]


def _left(sql: Sql, before: ServerSnapshot, kept: frozenset[str], failures: Mapping[str, str]) -> Iterator[str]:
    """Yield what differs from `before`: what it is, why it is left, and how to remove it. `kept`: roles of others."""
    now = take(sql)

    def line(what: str, remedy: str) -> str:
        why = failures.get(what, "")
        return f"{what}{f' ({why})' if why else ''}: remove it by {remedy}"

    for name in sorted(now.names - before.names):
        yield line(f"database {name}", _text("DROP DATABASE {} WITH (FORCE)", name))
    for name in sorted(now.roles - before.roles - kept):
        yield line(f"role {name}", _text("DROP OWNED BY {0} CASCADE in each database, then DROP ROLE {0}", name))
    for name, earlier in before.kept.items():
        later = now.kept.get(name)
        new = sorted(later.objects - earlier.objects) if later else []
        why = failures.get(f"database {name}", "")
        for kind, identity in new:
            shown = f"{kind} {identity}"
            yield f"{shown} in database {name}{f' ({why})' if why else ''}: remove it there"
        if other := failures.get(f"{FORM} of database {name}"):
            yield f"{FORM} of database {name} ({other}): make that database anew by hand, as it was before the test"
    if found := differences(sql, before.data, before.names):
        yield f"changed on the server, set it back: {'; '.join(found)}"


def _text(statement: str, name: str) -> str:
    return statement.format(compose.Identifier(name).as_string())


def _run(sql: Sql, database: str, step: Step) -> None:
    with connect(sql, database, application="blackstart cleanup") as connection:
        step(connection)
