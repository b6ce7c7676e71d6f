"""What a program of the reader's own finds when it first starts: its role and its databases, empty."""

from __future__ import annotations

import psycopg
from psycopg import sql

from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.postgres.server import connect, one_line
from harness.vault import read_text_secret


def make_databases(server: Sql, names: tuple[str, ...], role: str, password_ref: str) -> None:
    """Make the role and those databases that are missing, owned by it. Raises HarnessError, UsageError."""
    with connect(server) as connection:
        # Hashed here: the password itself reaches neither the server nor its log.
        password = read_text_secret(password_ref).encode()
        hashed = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
        owner = sql.Identifier(role)
        try:
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).rowcount == 0:
                connection.execute(sql.SQL("CREATE ROLE {}").format(owner))
            connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(owner, sql.Literal(hashed)))
            for name in names:
                if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).rowcount == 0:
                    query = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), owner)
                    connection.execute(query)
        except psycopg.Error as error:
            raise HarnessError(f"databases of {role} on {server.outside}: cannot be made: {one_line(error)}") from error
