"""The role that restores one database: its owner for that time, and no superuser.

A dump is text that pg_restore sends to the server, and a role that is a superuser could run programs with it. So a role
of its own, which nothing else knows, restores each database; afterwards all that it made goes to the owners that
the backup names, and the role is dropped.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError, RestoreFailed
from harness.core.service import Sql
from harness.postgres.roles.restore import changing
from harness.postgres.server import connect, one_line
from harness.postgres.session import for_superusers

PREFIX = "blackstart_restore_"  # of its name: pg_hba.conf has to let it in
OWNER = "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = %s"


@contextmanager
def restorer(sql: Sql, database: str) -> Iterator[Sql]:
    """Yield the connection of a new role that owns the database; at the end the owner is what it was.

    After an error in the block the role stays, as what it made is its own; it cannot log in any longer. Raises
    RestoreFailed.
    """
    role = PREFIX + secrets.token_hex(6)
    with tempfile.TemporaryDirectory(prefix="blackstart-") as folder:
        password = Path(folder, "password")
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24), encoding="ascii")
        owner = _make(sql, database, role, password.read_bytes())
        try:
            yield replace(sql, user=role, password_ref=f"file:{password}")
        except BaseException:
            with suppress(HarnessError, psycopg.Error, RestoreFailed), changing(sql, f"role {role}") as connection:
                connection.execute(_of("ALTER ROLE {} NOLOGIN PASSWORD NULL", role))
            raise
    _drop(sql, database, role, owner)


def _make(sql: Sql, database: str, role: str, password: bytes) -> str:
    """Make the role, give it the database; return the owner of before."""
    with changing(sql, f"role {role}") as connection:
        # Hashed on the client, so that the password reaches neither the server nor its log.
        verifier = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
        kind = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS LOGIN"
        connection.execute(
            compose.SQL("CREATE ROLE {} " + kind + " PASSWORD {}").format(
                compose.Identifier(role), compose.Literal(verifier)
            )
        )
        for name in for_superusers(connection.info.server_version // 10000):
            # It cannot set them itself; those of a role override those of a database. An empty list has no literal.
            connection.execute(_of("ALTER ROLE {} SET {} FROM CURRENT", role, name))
        ((owner,),) = connection.execute(OWNER, (database,)).fetchall()
        connection.execute(_of("ALTER DATABASE {} OWNER TO {}", database, role))
    return str(owner)


def _drop(sql: Sql, database: str, role: str, owner: str) -> None:
    """Give the database back, with what has no owner in the backup, and drop the role."""
    try:
        with connect(sql, database, application="blackstart restore") as connection:
            connection.execute(_of("ALTER DATABASE {} OWNER TO {}", database, owner))
            connection.execute(_of("REASSIGN OWNED BY {} TO {}", role, owner))
            connection.execute(_of("DROP OWNED BY {}", role))
            connection.execute(_of("DROP ROLE {}", role))
    except psycopg.Error as error:
        raise RestoreFailed(f"role {role} at {sql.outside}: cannot be dropped: {one_line(error)}") from error


def _of(statement: str, *names: str) -> compose.Composed:
    return compose.SQL(statement).format(*map(compose.Identifier, names))
