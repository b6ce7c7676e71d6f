"""Creation of a role and of the database that it owns."""

import psycopg
from psycopg import sql

from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.postgres.server import connect, one_line
from harness.vault import read_text_secret


def make_database(server: Sql, name: str, role: str, password_ref: str) -> None:
    """Create the role and its database if they are missing, and set the role's password.

    Raises HarnessError when the server refuses, UsageError when the password cannot be read.
    """
    with connect(server) as connection:
        # Hashed on the client, so that the password reaches neither the server nor its log.
        password = read_text_secret(password_ref).encode()
        hashed = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
        owner = sql.Identifier(role)
        try:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {}").format(owner))
            connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(owner, sql.Literal(hashed)))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                query = "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0"
                connection.execute(sql.SQL(query).format(sql.Identifier(name), owner))
        except psycopg.Error as error:
            raise HarnessError(
                f"database {name} of role {role} at {server.outside}: cannot be created: {one_line(error)}"
            ) from error
