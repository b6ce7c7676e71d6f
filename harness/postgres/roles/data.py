"""Server-wide data of a PostgreSQL server: roles, memberships, settings, grants on parameters, databases.

Read at the backup into `server.json`, canonical JSON, and applied by `harness.postgres.roles.restore`: data, never a
script. `harness.postgres.roles.check` compares a restored server with it.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Annotated, TypeVar

import psycopg
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError

from harness.core.errors import BackupFailed, HarnessError, Unreadable
from harness.core.service import Sql
from harness.postgres.server import connect, one_line
from harness.postgres.session import Connection

PATH = "server.json"  # the object in a backup
MOST = 64 << 20  # bytes of it
CLOSED = ConfigDict(extra="forbid")  # of what is read from a backup: an unknown key is an error
LONGEST = 252  # characters of a name: 63 bytes, each shown as `\\xff` where it is no text

# The text form of timestamps, for the validity of passwords.
READING = "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres'"
VERSION = """
SELECT current_setting('server_version_num')::int / 10000,
       (SELECT rolname FROM pg_catalog.pg_authid WHERE oid = 10), current_user::text
"""
ROLES = """
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
       rolconnlimit, rolpassword, rolvaliduntil::text, pg_catalog.shobj_description(oid, 'pg_authid')
FROM pg_catalog.pg_authid WHERE rolname !~ '^pg_' ORDER BY rolname
"""
# As JSON: which columns there are depends on the version.
MEMBERSHIPS = """
SELECT r.rolname, m.rolname, CASE a.grantor WHEN 10 THEN '' ELSE coalesce(g.rolname, '') END, a.admin_option,
       (to_jsonb(a) ->> 'inherit_option')::bool, (to_jsonb(a) ->> 'set_option')::bool
FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles r ON r.oid = a.roleid
JOIN pg_catalog.pg_roles m ON m.oid = a.member LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantor
WHERE NOT (r.rolname ~ '^pg_' AND m.rolname ~ '^pg_') ORDER BY 1, 2, 3
"""
SETTINGS = """
SELECT coalesce(r.rolname, ''), coalesce(d.datname, ''), split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) WITH ORDINALITY AS u (c, n)
WHERE (s.setrole = 0 OR r.oid IS NOT NULL) AND (s.setdatabase = 0 OR d.oid IS NOT NULL) ORDER BY 1, 2, n
"""
PARAMETERS = """
SELECT p.parname, CASE a.grantor WHEN 10 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantor) END,
       CASE a.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
FROM pg_catalog.pg_parameter_acl p, pg_catalog.aclexplode(p.paracl) AS a WHERE a.grantee <> 10 ORDER BY 1, 2, 3, 4
"""
DATABASES = """
SELECT d.datname, pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding),
       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), d.datcollate, d.datctype,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), to_jsonb(d) ->> 'daticurules',
       d.datistemplate, d.datconnlimit, pg_catalog.shobj_description(d.oid, 'pg_database'), d.datallowconn
FROM pg_catalog.pg_database d WHERE d.datname <> 'template0' ORDER BY d.datname
"""
GRANTS = """
SELECT d.datname, pg_catalog.pg_get_userbyid(a.grantor),
       CASE a.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
FROM pg_catalog.pg_database d, pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS a
WHERE d.datname <> 'template0' ORDER BY 1, 2, 3, 4
"""
LABELS = """
SELECT 'role', r.rolname, l.provider, l.label FROM pg_catalog.pg_shseclabel l
JOIN pg_catalog.pg_roles r ON l.classoid = 'pg_catalog.pg_authid'::regclass AND l.objoid = r.oid
UNION ALL SELECT 'database', d.datname, l.provider, l.label FROM pg_catalog.pg_shseclabel l
JOIN pg_catalog.pg_database d ON l.classoid = 'pg_catalog.pg_database'::regclass AND l.objoid = d.oid ORDER BY 1, 2, 3
"""
TABLESPACES = "SELECT spcname FROM pg_catalog.pg_tablespace WHERE spcname !~ '^pg_' ORDER BY 1"
SUBSCRIPTIONS = """
SELECT d.datname, s.subname, s.subenabled
FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid ORDER BY 1, 2
"""


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("has a zero byte")
    return value


def _name(value: str) -> str:
    if not value or len(value) > LONGEST:
        raise ValueError("is no name")
    return _text(value)


Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[str, AfterValidator(_name)]


@dataclass(frozen=True, slots=True)
class Role:
    """A role. `verifier`: its stored password; `until`: end of the password's validity, in UTC."""

    __pydantic_config__ = CLOSED

    name: Name
    superuser: bool
    inherit: bool
    createrole: bool
    createdb: bool
    login: bool
    replication: bool
    bypassrls: bool
    limit: int
    verifier: Text | None
    until: Text | None
    comment: Text | None


@dataclass(frozen=True, slots=True)
class Membership:
    """`member` is a member of `role`. `grantor`: "" for the bootstrap superuser. Options None: before PostgreSQL 16."""

    __pydantic_config__ = CLOSED

    role: Name
    member: Name
    grantor: Text
    admin: bool
    inherit: bool | None
    set: bool | None


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a role ("": every role) in a database ("": every database), its value as stored."""

    __pydantic_config__ = CLOSED

    role: Text
    database: Text
    name: Name
    value: Text


@dataclass(frozen=True, slots=True)
class Grant:
    """A privilege on a database or a parameter. `grantor`: "" for the bootstrap superuser; `grantee`: "" for PUBLIC."""

    __pydantic_config__ = CLOSED

    on: Name
    grantor: Text
    grantee: Text
    privilege: Text
    grantable: bool


@dataclass(frozen=True, slots=True)
class Database:
    """A row of pg_database. `provider`: its letter: b(uiltin), c (libc), i(cu)."""

    __pydantic_config__ = CLOSED

    name: Name
    owner: Name
    encoding: Text
    provider: Text
    collate: Text
    ctype: Text
    locale: Text | None
    rules: Text | None
    template: bool
    limit: int
    comment: Text | None
    connectable: bool


@dataclass(frozen=True, slots=True)
class Label:
    """A security label of a role or a database (`kind`)."""

    __pydantic_config__ = CLOSED

    kind: Text
    name: Text
    provider: Text
    label: Text


@dataclass(frozen=True, slots=True)
class Subscription:
    """A logical subscription of a database."""

    __pydantic_config__ = CLOSED

    database: Text
    name: Text
    enabled: bool


@dataclass(frozen=True, slots=True)
class ServerData:
    """Server-wide data. `bootstrap`: the superuser that initdb made; `user`: the one that read this.

    `tablespaces`: names only, they are not restored.
    """

    __pydantic_config__ = CLOSED

    major: int
    bootstrap: Text
    user: Text
    roles: tuple[Role, ...]
    memberships: tuple[Membership, ...]
    settings: tuple[Setting, ...]
    parameters: tuple[Grant, ...]
    databases: tuple[Database, ...]
    grants: tuple[Grant, ...]
    labels: tuple[Label, ...]
    tablespaces: tuple[Text, ...]
    subscriptions: tuple[Subscription, ...]

    def database(self, name: str) -> Database:
        """Return the database of that name; raises Unreadable."""
        for database in self.databases:
            if database.name == name:
                return database
        raise Unreadable(f"{PATH}: has no database {name}; it was dropped while the backup was taken")


SERVER = TypeAdapter(ServerData)
Row = TypeVar("Row")


def read(sql: Sql, before: ServerData) -> bytes:
    """Return the server-wide data as canonical JSON; raises BackupFailed.

    `before`: what it was before the first snapshot. Roles and databases that have gone since are kept: a dump may
    refer to a role that was dropped while the backup was taken.
    """
    try:
        now = inspect(sql)
    except HarnessError as error:
        raise BackupFailed(f"roles and settings: {error}") from error
    here, there = {r.name for r in now.roles}, {d.name for d in now.databases}
    data = replace(
        now,
        roles=(*now.roles, *(role for role in before.roles if role.name not in here)),
        databases=(*now.databases, *(database for database in before.databases if database.name not in there)),
        grants=(*now.grants, *(grant for grant in before.grants if grant.on not in there)),
    )
    return json.dumps(asdict(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse(text: bytes) -> ServerData:
    """Return the data in `text`; whatever the bytes are, raises Unreadable that says where they are malformed."""
    if len(text) > MOST:
        raise Unreadable(f"{PATH}: more than {MOST} bytes")
    try:
        return SERVER.validate_json(text, strict=True)
    except (ValidationError, RecursionError) as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) if isinstance(error, ValidationError) else "nesting"
        shown = where.encode("unicode_escape").decode("ascii")[:LONGEST]
        raise Unreadable(f"{PATH}: malformed at {shown or 'its start'}") from None


def inspect(sql: Sql) -> ServerData:
    """Return the server-wide data of a server, read in one transaction. Raises HarnessError."""
    with connect(sql, application="blackstart roles") as connection:
        try:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                for statement in READING.split("; "):
                    connection.execute(statement.encode())
                return _inspect(connection)
        except psycopg.Error as error:
            raise HarnessError(f"PostgreSQL at {sql.outside}: {one_line(error)}") from error


def _inspect(connection: Connection) -> ServerData:
    def rows(made: type[Row], query: str) -> tuple[Row, ...]:
        return tuple(made(*row) for row in connection.execute(query.encode()).fetchall())

    ((major, bootstrap, user),) = connection.execute(VERSION.encode()).fetchall()
    return ServerData(
        major=major,
        bootstrap=bootstrap,
        user=user,
        roles=rows(Role, ROLES),
        memberships=rows(Membership, MEMBERSHIPS),
        settings=rows(Setting, SETTINGS),
        parameters=rows(Grant, PARAMETERS) if major >= 15 else (),  # noqa: PLR2004 - the first with such grants
        databases=rows(Database, DATABASES),
        grants=rows(Grant, GRANTS),
        labels=rows(Label, LABELS),
        tablespaces=rows(str, TABLESPACES),
        subscriptions=rows(Subscription, SUBSCRIPTIONS),
    )
