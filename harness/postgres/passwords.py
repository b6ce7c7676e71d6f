"""Passwords of database roles."""

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.postgres.server import connect, one_line, require_other_role
from harness.vault import read_text_secret


def set_password(sql: Sql, role: str, password_ref: str) -> None:
    """Set the password of an existing role.

    Raises HarnessError when the server refuses, UsageError when the password cannot be read, and for our own role.
    """
    require_other_role(sql, role, "password of a restored role")
    with connect(sql) as connection:
        # Hashed on the client, so that the password reaches neither the server nor its log.
        password = read_text_secret(password_ref).encode()
        hashed = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
        query = compose.SQL("ALTER ROLE {} PASSWORD {}").format(compose.Identifier(role), compose.Literal(hashed))
        try:
            connection.execute(query)
        except psycopg.Error as error:
            raise HarnessError(f"role {role} at {sql.outside}: password not set: {one_line(error)}") from error
