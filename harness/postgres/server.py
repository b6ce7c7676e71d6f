"""A PostgreSQL 18 server as a node, and connections to it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, LiteralString

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError, UsageError
from harness.core.node import Node, NodeSpec, Ready, Site, runs_images
from harness.core.service import Sql
from harness.parts.programs import program
from harness.patience import PATIENCE
from harness.postgres.session import Connection, Server, open_session, seen
from harness.vault import read_text_secret

IMAGE = "postgres"
PORT = "sql"
SOCKETS = "/tmp"  # noqa: S108 - in a container, in memory
DEFAULT_SOCKETS = "/var/run/postgresql"  # socket folder of the public image during its first start
SUPERUSER = "postgres"
FALLBACK = "template1"  # where the declared database for statements that belong to none does not exist
SUPERUSER_PASSWORD = "postgres-superuser"  # noqa: S105 - the name of the secret, not the secret

# All connections need a password. Only the first start of an image uses the socket; TCP is limited by the address.
HBA = """\
local all all scram-sha-256
host all all all scram-sha-256
host replication all all scram-sha-256
"""

# POSIX shared memory would be left in /dev/shm by SIGKILL; a file in the data directory is removed with that.
OWN_MEMORY = ("-c", "dynamic_shared_memory_type=mmap")

INITDB = (
    "--username=" + SUPERUSER,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--locale=C.UTF-8",  # the same sort order on every machine, so that indexes stay valid on DR
    "--data-checksums",
    "--no-instructions",
)
FIRST_RUN = (*INITDB, *OWN_MEMORY)

SETTINGS = (
    "listen_addresses=@{bind:sql}",
    "port=@{port:sql}",
    "hba_file=@{file:hba}",
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    "max_connections=120",
    "max_locks_per_transaction=256",  # pg_dump locks every table: room for 30,000, in some 10 MB
    "logging_collector=off",
    "log_destination=stderr",
    "log_min_messages=warning",
    "log_min_error_statement=panic",  # a failed statement may contain a password
    "log_line_prefix=%m [%p] %q%u@%d %a ",
    "password_encryption=scram-sha-256",
)


def server_spec(
    site: Site,
    name: str = "postgres",
    volume: str = "postgres",
    password_name: str = SUPERUSER_PASSWORD,
    *,
    secrets: Mapping[str, str],
    tuning: Sequence[str] = (),
) -> NodeSpec:
    """Return the node for `site`: data in `volume`, superuser `postgres` with the password that `secrets` refers to.

    `tuning`: further settings, `name=value`, which override the defaults. Raises UsageError when `secrets` has no
    `password_name`, MissingPart when PostgreSQL is needed on this machine and not installed.
    """
    if password_name not in secrets:
        raise UsageError(f"node {name}: no secret {password_name}; add its reference to the secrets of the site")
    data = f"@{{volume:{volume}}}/data"
    settings = tuple(part for setting in (*SETTINGS, *tuning) for part in ("-c", setting))
    spec = NodeSpec(
        name=name,
        argv=settings,
        ports=(PORT,),
        volumes=(volume,),
        secrets={password_name: secrets[password_name]},
        files={"hba": HBA, "superuser": f"@{{secret:{password_name}}}\n"},
        stop_signal="INT",
    )
    if runs_images(site):
        # The entry point creates the data directory from its environment variables, and connects to the server
        # through a socket meanwhile.
        return replace(
            spec,
            argv=("postgres", *settings, "-c", f"unix_socket_directories={SOCKETS},{DEFAULT_SOCKETS}"),
            image=IMAGE,
            env={
                "PGDATA": data,
                "POSTGRES_PASSWORD_FILE": "@{file:superuser}",
                "POSTGRES_INITDB_ARGS": " ".join(INITDB[1:]),
                "PGHOST": SOCKETS,
            },
            ready=_ready("pg_isready", "127.0.0.1"),
        )
    return replace(
        spec,
        argv=(program("postgres"), "-D", data, "-c", "unix_socket_directories=", *OWN_MEMORY, *settings),
        ready=_ready(program("pg_isready"), "@{bind:sql}"),
        first_run=((program("initdb"), "-D", data, "--pwfile=@{file:superuser}", *FIRST_RUN),),
    )


def _ready(pg_isready: str, host: str) -> Ready:
    argv = (pg_isready, "-q", "-U", SUPERUSER, "-h", host, "-p", "@{port:sql}", "-d", "postgres")
    return Ready(argv=argv, patience=PATIENCE.postgres_ready)


def sql_of(node: Node, password_ref: str) -> Sql:
    """Return the connection to the server of `node`; `password_ref`: password of its superuser."""
    endpoint = node.endpoint(PORT)
    return Sql(endpoint.inside, endpoint.outside, SUPERUSER, password_ref)


def connect(
    sql: Sql,
    database: str = "",
    *,
    autocommit: bool = True,
    user: str | None = None,
    password_ref: str | None = None,
    application: str = "blackstart",
    settings: Mapping[str, str] | None = None,
    reading: bool = True,
) -> Connection:
    """Return a connection from outside the site, as the superuser by default.

    Without a `database` it is that of `sql`, or template1 where the server has none of that name. Its settings are
    those of `harness.postgres.session` (`reading`: see `options` there), and `settings`. Raises HarnessError, one line,
    when it cannot be opened within five seconds.
    """
    who = user or sql.user

    def opened(name: str) -> Connection:
        return open_session(
            str(sql),
            superuser=sql.superuser and who == sql.user,
            reading=reading,
            more=settings,
            dbname=name,
            user=who,
            password=read_text_secret(password_ref or sql.password_ref),
            application_name=application,
            connect_timeout=round(PATIENCE.sql_connect),
            **parameters(sql),
        )

    name = database or sql.database
    try:
        try:
            connection = opened(name)
        except psycopg.OperationalError as error:
            if database or f'database "{name}" does not exist' not in str(error):
                raise
            connection = opened(FALLBACK)
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise HarnessError(f"PostgreSQL at {sql}, database {name} as {who}: {_refusal(error)}") from error
    connection.autocommit = autocommit
    return connection


def parameters(sql: Sql) -> dict[str, str]:
    """Return libpq's parameters for the hosts of a server, and for TLS, as seen from outside its site."""
    hosts = (sql.outside, *sql.others)
    found = {
        "host": ",".join(address.host for address in hosts),
        "port": ",".join(str(address.port) for address in hosts),
        "target_session_attrs": "primary" if sql.others else "any",
        "gssencmode": "disable",
        "sslmode": sql.tls.mode,
    }
    files = {"sslrootcert": sql.tls.ca, "sslcert": sql.tls.cert, "sslkey": sql.tls.key}
    return found | {name: path for name, path in files.items() if path}


def _refusal(error: psycopg.Error | UnicodeEncodeError) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "a name that is no UTF-8 text; rename it"
    reason = one_line(error)
    _, answered, refusal = reason.rpartition("FATAL: ")
    if answered and "permission denied to set parameter" in refusal:
        return f"{refusal.strip()}; connect as a superuser"
    return refusal.strip() if answered else f"{reason}; is it running?"


def look_at(sql: Sql) -> Server:
    """Return version and encryption of a server; it is only asked when no connection has shown them.

    Raises HarnessError.
    """
    if (found := seen(str(sql))) is None:
        connect(sql).close()
        return look_at(sql)
    return found


def major(sql: Sql) -> int:
    """Return the major version of a server, as `look_at` does. Raises HarnessError."""
    return look_at(sql).major


def maintenance(sql: Sql) -> str:
    """Return the database for statements that belong to none: that of `sql`, or template1. Raises HarnessError."""
    with connect(sql) as connection:
        return connection.info.dbname


@contextmanager
def transaction(sql: Sql, database: str, hint: str) -> Iterator[Connection]:
    """Yield a superuser connection in a transaction, which an exception rolls back.

    Raises HarnessError when the server refuses the connection or a statement; the message ends with `hint`.
    """
    try:
        with connect(sql, database) as connection, connection.transaction():
            yield connection
    except psycopg.Error as error:
        raise HarnessError(f"database {database} at {sql}: {one_line(error)}; {hint}") from error


def require_other_role(server: Sql, role: str, what: str) -> None:
    """Raise UsageError, which begins with `what`, when a service's role is the one that blackstart connects as."""
    if role == server.user:
        raise UsageError(
            f"{what}: role {role} is the superuser that blackstart connects as; its password stays; "
            "give the service another `role`, or another `database` where the role has its name"
        )


def make_database(server: Sql, name: str, role: str, password_ref: str) -> None:
    """Create the role and its database if they are missing, and set the role's password.

    Raises HarnessError when the server refuses, UsageError when the password cannot be read, and for our own role.
    """
    require_other_role(server, role, f"database {name}")
    with connect(server) as connection:
        # Hashed on the client, so that the password reaches neither the server nor its log.
        password = read_text_secret(password_ref).encode()
        hashed = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
        owner = compose.Identifier(role)
        try:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                connection.execute(compose.SQL("CREATE ROLE {}").format(owner))
            connection.execute(compose.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(owner, compose.Literal(hashed)))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                query = "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0"
                connection.execute(compose.SQL(query).format(compose.Identifier(name), owner))
        except psycopg.Error as error:
            raise HarnessError(
                f"database {name} of role {role} at {server}: cannot be created: {one_line(error)}"
            ) from error


def one_line(error: psycopg.Error) -> str:
    """Return the error message of server or client library as one line, without the statement."""
    said = error.diag.message_primary or str(error) or type(error).__name__
    return " ".join(said.split())


def said(error: psycopg.Error | HarnessError) -> str:
    """Return the message of an error of the server or of ours as one line."""
    return one_line(error) if isinstance(error, psycopg.Error) else str(error)


def ask_row(sql: Sql, query: LiteralString, *values: object) -> tuple[Any, ...]:
    """Return the one row that a server answers about itself. Raises HarnessError when it does not answer."""
    try:
        with connect(sql) as connection:
            row = connection.execute(query, values).fetchone()
    except psycopg.Error as error:
        raise HarnessError(f"PostgreSQL at {sql}: {one_line(error)}") from error
    if row is None:
        raise HarnessError(f"PostgreSQL at {sql}: did not say its state")
    return row
