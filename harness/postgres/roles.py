"""A role and the database that it owns."""

from __future__ import annotations

from psycopg import sql

from harness.core.service import Sql
from harness.postgres.server import connect
from harness.vault import read_text_secret


def make_database(place: Sql, name: str, role: str, password_ref: str) -> None:
    """Make the role and its database where they are missing. Raises HarnessError."""
    with connect(place) as connection:
        # Hashed here: the password itself reaches neither the server nor its log.
        password = read_text_secret(password_ref).encode()
        hashed = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(hashed)))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            query = "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0"
            connection.execute(sql.SQL(query).format(sql.Identifier(name), sql.Identifier(role)))
