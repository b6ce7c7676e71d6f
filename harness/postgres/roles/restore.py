"""Restore of server-wide data: roles before the databases, a database's own properties around its contents.

Every identifier and every literal is composed; nothing of a backup is run as a script.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError, RestoreFailed
from harness.core.service import Sql
from harness.postgres.roles.check import OPTIONS, among, by_lz4, settable
from harness.postgres.roles.data import GRANTS, Database, Grant, Membership, Role, ServerData, Setting
from harness.postgres.roles.grants import align, by_dependency
from harness.postgres.server import connect, one_line
from harness.postgres.session import Connection

LISTS = (  # settings whose stored value is a list of quoted names
    *("local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries"),
    *("temp_tablespaces", "unix_socket_directories"),
)
ATTRIBUTES = ("superuser", "inherit", "createrole", "createdb", "login", "replication", "bypassrls")
PROVIDERS = {"b": "builtin", "c": "libc", "i": "icu"}
PROVIDER, RULES, BUILTIN = 15, 16, 17  # first versions with these options of CREATE DATABASE


def restore(sql: Sql, data: ServerData, found: ServerData, lz4: bool | None = None) -> tuple[str, ...]:
    """Make roles, memberships, grants on parameters and settings of roles. All of them or, with RestoreFailed, none.

    `found`: what the server had before; `lz4`: as `settable` has it. The superuser we come as and the bootstrap
    superuser keep the attributes and the password that they have on this server; other roles that are already there
    become those of the backup. Returns what could not be set because this server does not know it, one line each.
    """
    kept = {found.user, found.bootstrap}
    there = {role.name: role.until for role in found.roles}
    with changing(sql, "roles") as connection:
        for role in data.roles:
            if role.name not in there:
                connection.execute(compose.SQL("CREATE ROLE {}").format(compose.Identifier(role.name)))
        for role in data.roles:
            if role.name not in kept:
                connection.execute(_attributes(role, there.get(role.name)))
            _comment(connection, "ROLE", role.name, role.comment)
        _memberships(connection, data, found)
        names = {"", *(role.name for role in data.roles)}
        here = [grant for grant in found.parameters if grant.grantee in names]
        align(connection, "PARAMETER", here, data.parameters)
        known = settable(sql, found, data, lz4)
        _settings(connection, found, known, names, {""})
    _labels(sql, data, "ROLE", {role.name for role in data.roles})
    return tuple(
        f"setting {s.name} of role {s.role or 'ALL'}: "
        + ("this server was built without lz4" if by_lz4(s) else f"PostgreSQL {found.major} does not know it")
        for s in data.settings
        if s not in known
    )


def create_database(sql: Sql, data: ServerData, found: ServerData, name: str, lz4: bool | None = None) -> None:
    """Create a database, empty; one of initdb gets its owner. Then its settings. Raises RestoreFailed, Unreadable.

    Settings come first, as what is restored (a CHECK constraint, an index on an expression) may depend on them; the
    sessions of a restore override those that could break it.
    """
    database = data.database(name)
    try:
        with connect(sql) as connection:
            here = {d.name: d for d in found.databases}.get(name)
            if here is None:
                connection.execute(creation_of(database, found.major))
            elif here.owner != database.owner:
                connection.execute(
                    compose.SQL("ALTER DATABASE {} OWNER TO {}").format(
                        compose.Identifier(name), compose.Identifier(database.owner)
                    )
                )
    except psycopg.Error as error:
        raise RestoreFailed(f"database {name} at {sql.outside}: cannot be created: {one_line(error)}") from error
    set_in_database(sql, data, found, name, lz4)


def set_in_database(sql: Sql, data: ServerData, found: ServerData, name: str, lz4: bool | None = None) -> None:
    """Make the settings of a database, and of roles in it, those that its server knows. Raises RestoreFailed."""
    names = {"", *(role.name for role in data.roles)}
    with changing(sql, f"settings of database {name}") as connection:
        _settings(connection, found, settable(sql, found, data, lz4), names, {name})


def finish_database(sql: Sql, data: ServerData, name: str) -> None:
    """Give a restored database its grants, comment, labels, limit and template mark. Raises RestoreFailed."""
    grant_on_database(sql, data, name)
    label_database(sql, data, name)


def grant_on_database(sql: Sql, data: ServerData, name: str) -> None:
    """Give a database its grants, comment, limit and template mark: all or, with RestoreFailed, none."""
    database = data.database(name)
    with changing(sql, f"database {name}") as connection:
        here = [Grant(*row) for row in connection.execute(GRANTS.encode()).fetchall()]
        own = [grant for grant in data.grants if grant.on == name]
        align(connection, "DATABASE", [grant for grant in here if grant.on == name], own, database.owner)
        _comment(connection, "DATABASE", name, database.comment)
        connection.execute(
            compose.SQL("ALTER DATABASE {} WITH CONNECTION LIMIT {} IS_TEMPLATE {}").format(
                compose.Identifier(name), compose.Literal(database.limit), compose.Literal(database.template)
            )
        )


def label_database(sql: Sql, data: ServerData, name: str) -> None:
    """Give a database its security labels: all or, with RestoreFailed, none."""
    _labels(sql, data, "DATABASE", {name})


@contextmanager
def changing(sql: Sql, what: str) -> Iterator[Connection]:
    """Yield a connection in a transaction that the server does not log. Raises RestoreFailed, and nothing is done."""
    try:
        with connect(sql, application="blackstart roles") as connection, connection.transaction():
            connection.execute("SET LOCAL log_statement = 'none'")
            connection.execute("SET LOCAL log_min_duration_statement = -1")
            connection.execute("SET LOCAL log_min_error_statement = 'panic'")
            yield connection
    except (psycopg.Error, HarnessError) as error:
        reason = one_line(error) if isinstance(error, psycopg.Error) else str(error)
        raise RestoreFailed(f"{what} at {sql.outside}: {reason}") from error


def _attributes(role: Role, until: str | None) -> compose.Composed:
    """Return the statement for a role's attributes; `until`: what it has. A validity cannot be made NULL again."""
    words = [word.upper() if getattr(role, word) else f"NO{word.upper()}" for word in ATTRIBUTES]
    valid = compose.SQL(" VALID UNTIL {}").format(compose.Literal(role.until or "infinity"))
    return compose.SQL("ALTER ROLE {} WITH {} CONNECTION LIMIT {} PASSWORD {}{}").format(
        compose.Identifier(role.name),
        compose.SQL(" ").join(map(compose.SQL, words)),
        compose.Literal(role.limit),
        compose.Literal(role.verifier),
        valid if role.until or until else compose.SQL(""),
    )


def _comment(connection: Connection, kind: str, name: str, comment: str | None) -> None:
    connection.execute(
        compose.SQL("COMMENT ON {} {} IS {}").format(
            compose.SQL(kind),
            compose.Identifier(name),
            compose.Literal(comment),
        )
    )


def _memberships(connection: Connection, data: ServerData, found: ServerData) -> None:
    """Make memberships as in the backup: those among its roles that it does not have are revoked."""
    names = {role.name for role in data.roles}
    exact = min(data.major, found.major) >= OPTIONS
    for extra in (m for m in among(found.memberships, names) if m not in data.memberships):
        _execute(connection, "REVOKE {} FROM {}{} CASCADE", extra, _by(extra.grantor, exact=exact))
    for membership in by_dependency(
        data.memberships,
        # A grantor must be an administrator of the role already.
        lambda m: (m.role, m.grantor) if exact and m.grantor else None,
        lambda m: (m.role, m.member) if m.admin else None,
        (),
    ):
        _grant_role(connection, membership, exact=exact)


def _grant_role(connection: Connection, membership: Membership, *, exact: bool) -> None:
    if exact:
        options = f" WITH ADMIN {membership.admin}, INHERIT {membership.inherit}, SET {membership.set}"
    else:
        options = " WITH ADMIN OPTION" * membership.admin
    by = _by(membership.grantor, exact=exact)
    _execute(connection, "GRANT {} TO {}{}", membership, compose.SQL(options) + by)


def _execute(connection: Connection, statement: str, membership: Membership, rest: compose.Composable) -> None:
    role, member = compose.Identifier(membership.role), compose.Identifier(membership.member)
    connection.execute(compose.SQL(statement).format(role, member, rest))


def _by(grantor: str, *, exact: bool) -> compose.Composable:
    if not grantor or not exact:
        return compose.SQL("")
    return compose.SQL(" GRANTED BY {}").format(compose.Identifier(grantor))


def _settings(
    connection: Connection,
    found: ServerData,
    wanted: Iterable[Setting],
    roles: Collection[str],
    databases: Collection[str],
) -> None:
    """Make the settings of `roles` in `databases` those of the backup: others are reset."""
    here = {s for s in found.settings if s.role in roles and s.database in databases}
    there = [s for s in wanted if s.database in databases]
    changed = {(s.role, s.database, s.name) for s in there}
    for setting in here:
        if (setting.role, setting.database, setting.name) not in changed:
            connection.execute(_of(setting) + compose.SQL(" RESET {}").format(compose.Identifier(setting.name)))
    for setting in there:
        if setting not in here:
            _set(connection, setting)


def _set(connection: Connection, setting: Setting) -> None:
    name, value = compose.Identifier(setting.name), setting.value
    if setting.name.lower() not in LISTS:
        connection.execute(_of(setting) + compose.SQL(" SET {} TO {}").format(name, compose.Literal(value)))
        return
    items = [compose.Literal(item) for item in split_names(value)]
    listed: compose.Composable = compose.SQL(", ").join(items)
    connection.execute(_of(setting) + compose.SQL(" SET {} TO {}").format(name, listed))


def _of(setting: Setting) -> compose.Composable:
    """Return the statement that changes settings of a role, a database, or a role in a database."""
    role, database = compose.Identifier(setting.role), compose.Identifier(setting.database)
    if not setting.role and setting.database:
        return compose.SQL("ALTER DATABASE {}").format(database)
    who = compose.SQL("ALTER ROLE {}").format(role if setting.role else compose.SQL("ALL"))
    return who + compose.SQL(" IN DATABASE {}").format(database) if setting.database else who


def split_names(value: str) -> list[str]:
    """Return the names of a list as a setting stores it: separated by commas, in double quotes where needed."""
    names, at = [], 0
    text = value.strip()
    while at < len(text):
        if text[at] == '"':
            name, at = _quoted(text, at + 1)
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            name, at = text[at:end].strip(), end
        names.append(name)
        comma = text.find(",", at)
        at = len(text) if comma < 0 else comma + 1
        while at < len(text) and text[at].isspace():
            at += 1
    return names or [""]


def _quoted(text: str, at: int) -> tuple[str, int]:
    """Return the name in double quotes that begins at `at`, and the place after it."""
    name = ""
    while at < len(text):
        if text[at] == '"' and text[at + 1 : at + 2] != '"':
            return name, at + 1
        at += text[at] == '"'
        name += text[at]
        at += 1
    return name, at


def creation_of(database: Database, major: int) -> compose.Composed:
    """Return the statement that creates a database with its owner, encoding and locale on a server of that major."""
    words = [
        ("OWNER", compose.Identifier(database.owner)),
        ("TEMPLATE", compose.Identifier("template0")),
        ("ENCODING", compose.Literal(database.encoding)),
        ("LC_COLLATE", compose.Literal(database.collate)),
        ("LC_CTYPE", compose.Literal(database.ctype)),
    ]
    if major >= PROVIDER:
        words.append(("LOCALE_PROVIDER", compose.Literal(PROVIDERS.get(database.provider, database.provider))))
    if database.locale is not None and database.provider != "c":
        words.append(("BUILTIN_LOCALE" if database.provider == "b" else "ICU_LOCALE", compose.Literal(database.locale)))
    if database.rules is not None and major >= RULES:
        words.append(("ICU_RULES", compose.Literal(database.rules)))
    options = [compose.SQL("{} = {}").format(compose.SQL(word), value) for word, value in words]
    return compose.SQL("CREATE DATABASE {} WITH {}").format(
        compose.Identifier(database.name), compose.SQL(" ").join(options)
    )


def _labels(sql: Sql, data: ServerData, kind: str, names: Collection[str]) -> None:
    wanted = [label for label in data.labels if label.kind == kind.lower() and label.name in names]
    if not wanted:
        return
    with changing(sql, "security labels") as connection:
        for label in wanted:
            connection.execute(
                compose.SQL("SECURITY LABEL FOR {} ON {} {} IS {}").format(
                    compose.Identifier(label.provider),
                    compose.SQL(kind),
                    compose.Identifier(label.name),
                    compose.Literal(label.label),
                )
            )
