"""Roles that live as long as a piece of work on restored data, and are no superuser.

A dump is text that pg_restore sends to the server, and a role that is a superuser could run programs with it. So a role
of its own, which nothing else knows, restores each database; afterwards all that it made goes to the owners that
the backup names, and the role is dropped. The same holds for what is asked of restored tables later.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError, RestoreFailed
from harness.core.service import Sql
from harness.postgres.roles.restore import changing
from harness.postgres.server import connect, one_line
from harness.postgres.session import for_superusers

PREFIX = "blackstart_restore_"  # of its name: pg_hba.conf has to let it in
RANDOM = 6  # bytes in its name
OWNER = "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = %s"


# Grants for a role that works on every database of services: to connect, and to call what their owners may call. No
# owner with power over the server is among them.
FOR_CLERK = """
SELECT pg_catalog.format('GRANT CONNECT ON DATABASE %%I TO %%I', datname, %s::text) FROM pg_catalog.pg_database
WHERE datallowconn UNION
SELECT pg_catalog.format('GRANT %%I TO %%I', r.rolname, %s::text)
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
WHERE NOT r.rolreplication AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_roles p WHERE pg_catalog.pg_has_role(r.oid, p.oid, 'MEMBER') AND (p.rolsuper
        OR p.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')))
"""


@contextmanager
def restorer(sql: Sql, database: str) -> Iterator[Sql]:
    """Yield the connection of a new role that owns the database; at the end the owner is what it was.

    After an error in the block the role stays, as what it made is its own; it cannot log in any longer. Raises
    RestoreFailed.
    """
    with _role(sql, "") as own:
        with changing(sql, f"database {database}") as connection:
            ((owner,),) = connection.execute(OWNER, (database,)).fetchall()
            connection.execute(_of("ALTER DATABASE {} OWNER TO {}", database, own.user))
        yield own
    _drop(
        *(sql, database, own.user),
        _of("ALTER DATABASE {} OWNER TO {}", database, str(owner)),
        _of("REASSIGN OWNED BY {} TO {}", own.user, str(owner)),
    )


@contextmanager
def clerk(sql: Sql) -> Iterator[Sql]:
    """Yield the connection of a new role that reads and writes the tables of every database, and is no superuser.

    For statements on restored data: their views, rules and triggers are functions of the backup. The role is dropped
    at the end. Raises RestoreFailed.
    """
    with _role(sql, " IN ROLE pg_read_all_data, pg_write_all_data") as own:
        try:
            with changing(sql, f"role {own.user}") as connection:
                for (statement,) in connection.execute(FOR_CLERK, (own.user, own.user)).fetchall():
                    connection.execute(str(statement).encode())  # the server wrote it
            yield own
        finally:
            _drop(sql, "", own.user)


def is_temporary(role: str) -> bool:
    """Return whether a role has the name of one that a restore made for itself, and that a killed one left."""
    return re.fullmatch(f"{PREFIX}[0-9a-f]{{{2 * RANDOM}}}", role) is not None


@contextmanager
def _role(sql: Sql, attributes: str) -> Iterator[Sql]:
    """Yield the connection of a new role; after an error in the block it cannot log in any longer."""
    role = PREFIX + secrets.token_hex(RANDOM)
    # A file in memory: none is left behind when this process is killed.
    with os.fdopen(os.memfd_create(role), "wb", buffering=0) as file:
        file.write((password := secrets.token_urlsafe(24)).encode())
        _make(sql, role, password.encode(), attributes)
        try:
            yield replace(sql, user=role, password_ref=f"file:/proc/self/fd/{file.fileno()}", superuser=False)
        except BaseException:
            with suppress(HarnessError, psycopg.Error, RestoreFailed), changing(sql, f"role {role}") as connection:
                connection.execute(_of("ALTER ROLE {} NOLOGIN PASSWORD NULL", role))
            raise


def _make(sql: Sql, role: str, password: bytes, attributes: str) -> None:
    with changing(sql, f"role {role}") as connection:
        # Hashed on the client, so that the password reaches neither the server nor its log.
        verifier = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
        kind = f"NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS LOGIN{attributes}"
        connection.execute(
            compose.SQL("CREATE ROLE {} " + kind + " PASSWORD {}").format(
                compose.Identifier(role), compose.Literal(verifier)
            )
        )
        for name in for_superusers(connection.info.server_version // 10000):
            # It cannot set them itself; those of a role override those of a database. An empty list has no literal.
            connection.execute(_of("ALTER ROLE {} SET {} FROM CURRENT", role, name))


def _drop(sql: Sql, database: str, role: str, *before: compose.Composed) -> None:
    """Drop a role with its privileges; `before`: what is done with what it owns."""
    try:
        with connect(sql, database, application="blackstart restore") as connection:
            for statement in (*before, _of("DROP OWNED BY {}", role), _of("DROP ROLE {}", role)):
                connection.execute(statement)
    except psycopg.Error as error:
        raise RestoreFailed(f"role {role} at {sql.outside}: cannot be dropped: {one_line(error)}") from error


def _of(statement: str, *names: str) -> compose.Composed:
    return compose.SQL(statement).format(*map(compose.Identifier, names))
