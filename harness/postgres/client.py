"""PostgreSQL's client programs (pg_dump, pg_restore, psql) as tasks of a site."""

from collections.abc import Mapping

from harness.core.errors import MissingPart
from harness.core.node import Completed, Site, Task, runs_images
from harness.core.service import Sql
from harness.parts.programs import client_program
from harness.postgres.server import IMAGE, look_at
from harness.postgres.session import RAW, Server, options

WIDTH = 500  # characters of one of them: pg_dump shows a statement that names thousands of tables
SHOWN = 3  # last lines of standard error that an error message contains
# libpq refuses a password file with group access, and Kubernetes gives files to the group of a pod.
PASSWORD_FILE = "/tmp/pgpass"  # noqa: S105, S108 - in the task's own container, in memory
OWN_PASSWORD_FILE = 'umask 077 && cp "$GIVEN_PASSFILE" "$PGPASSFILE" && exec "$0" "$@"'  # noqa: S105
PLAIN = ("disable", "allow", "prefer")  # modes that a libpq without TLS accepts
TLS = {"ca": "PGSSLROOTCERT", "cert": "PGSSLCERT", "key": "PGSSLKEY"}  # file of a task -> the variable that names it
PASSWORD = "password"  # noqa: S105 - the name of the task's secret, not the secret


def client_task(
    site: Site,
    name: str,
    sql: Sql,
    *arguments: str,
    database: str,
    stdin: bytes = b"",
    volumes: tuple[str, ...] = (),
    settings: Mapping[str, str] | None = None,
    reading: bool = True,
) -> Task:
    """Return a task that runs a client program as the user of `sql`, connected to `database`.

    `settings`: of its sessions, over those of `harness.postgres.session`; its `options` has `reading`.
    Raises HarnessError when the server's version is not known and the server does not answer.
    """
    server = look_at(sql)
    if runs_images(site):
        argv: tuple[str, ...] = ("sh", "-c", OWN_PASSWORD_FILE, name)
        password = {"PGPASSFILE": PASSWORD_FILE, "GIVEN_PASSFILE": "@{file:pgpass}"}
    else:
        argv, password = (_program(name, sql, server),), {"PGPASSFILE": "@{file:pgpass}"}
    given = {"ca": sql.tls.ca, "cert": sql.tls.cert, "key": sql.tls.key}
    certificates = {file: path for file, path in given.items() if path}
    env = {
        "PGAPPNAME": name,
        "PGCONNECT_TIMEOUT": "10",
        **session_variables(sql, server.major, reading=reading, settings=settings),
        **{TLS[file]: f"@{{file:{file}}}" for file in certificates},
        "PGCLIENTENCODING": RAW,  # possible with every encoding; a dump says its own
        "LC_MESSAGES": "C",
    }
    return Task(
        name=name,
        argv=(*argv, "--no-password", f"--dbname={conninfo(sql, database)}", *arguments),
        image=IMAGE,
        volumes=volumes,
        env={**password, **env},
        # The files are copies of the task's own: libpq refuses a key that others can read.
        secrets={PASSWORD: sql.password_ref, **{file: f"file:{path}" for file, path in certificates.items()}},
        files={
            "pgpass": f"*:*:*:*:@{{pgpass:{PASSWORD}}}\n",
            **{file: f"@{{secret:{file}}}\n" for file in certificates},
        },
        stdin=stdin,
    )


def must_encrypt(sql: Sql) -> bool:
    """Return whether connections to a server must be encrypted."""
    return sql.tls.mode not in PLAIN


def _program(name: str, sql: Sql, server: Server) -> str:
    """Return the program to run: one that encrypts, where the connection must be encrypted or could be."""
    must = must_encrypt(sql)
    try:
        return client_program(name, server.major, tls=must or server.tls)
    except MissingPart:
        if must:
            raise
        return client_program(name, server.major)


def conninfo(sql: Sql, database: str) -> str:
    """Return a connection string for a client program on the site of the server."""
    hosts = (sql.inside, *sql.others)
    parts = {
        "host": ",".join(address.host for address in hosts),
        "port": ",".join(str(address.port) for address in hosts),
        "user": sql.user,
        "dbname": database,
    }
    return " ".join(f"{key}='{_quoted(value)}'" for key, value in parts.items())


def _quoted(value: str) -> str:
    """Return a value for a connection string. Braces are escaped too: a name is no placeholder of a task."""
    return "".join(f"\\{char}" if char in "\\'{" else char for char in value)


def how_it_ended(done: Completed) -> str:
    """Return exit code and standard error of a failed client in one line, from its last `error:` on."""
    lines = [line.strip()[:WIDTH] for line in done.errors.splitlines() if line.strip()]
    errors = [at for at, line in enumerate(lines) if "error: " in line.lower()]
    start = errors[-1] if errors else max(0, len(lines) - SHOWN)
    code = f"ended by signal {-done.code}" if done.code < 0 else f"exit code {done.code}"
    return f"{' | '.join(lines[start : start + SHOWN])} ({code})" if lines else code


def session_variables(
    sql: Sql, major: int, *, reading: bool, settings: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables by which a client program connects as our own sessions do; `settings` as `client_task`."""
    return {
        "PGGSSENCMODE": "disable",
        "PGTARGETSESSIONATTRS": "primary" if sql.others else "any",
        "PGSSLMODE": sql.tls.mode,
        "PGOPTIONS": options(major, superuser=sql.superuser, reading=reading, more=settings),
    }
