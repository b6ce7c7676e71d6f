"""A restored database server becomes DR's: the last changes before it is started there."""

from pathlib import Path

import psycopg
from psycopg import sql as compose

from harness.core.errors import RestoreFailed
from harness.core.service import Sql
from harness.physical.private_server import Connect, control_of, limits_of, sizes_of
from harness.physical.programs import Programs
from harness.postgres.restoring import quiet
from harness.postgres.server import ask_row, one_line
from harness.vault import read_text_secret

ENABLED = """
SELECT d.datname, s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
WHERE s.subenabled
"""
PREPARED = "max_prepared_transactions"
LESS = """
SELECT pg_catalog.current_setting('max_prepared_transactions')::int < %s::int,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('min_wal_size')) < pg_catalog.pg_size_bytes(%s),
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size')) < pg_catalog.pg_size_bytes(%s)
"""  # in the order of `room_for`
CONNECTABLE = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY 1"


def take_over(connect: Connect, sql: Sql) -> tuple[quiet.Held, ...]:
    """Give the superuser of DR its own password, disable what a server does by itself, and return that.

    `connect`: to the server of the replay; `sql`: of DR. Raises RestoreFailed.
    """
    try:
        return _changed(connect, sql)
    except psycopg.Error as error:
        raise RestoreFailed(f"the restored server cannot be made DR's: {one_line(error)}") from error


def _changed(connect: Connect, sql: Sql) -> tuple[quiet.Held, ...]:
    with connect("") as connection:
        password = read_text_secret(sql.password_ref).encode()
        verifier = connection.pgconn.encrypt_password(password, sql.user.encode(), b"scram-sha-256").decode()
        known = connection.execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", (sql.user,)).fetchone()
        word = "ALTER" if known is not None else "CREATE"
        statement = compose.SQL(word + " ROLE {} SUPERUSER LOGIN PASSWORD {} VALID UNTIL 'infinity'")
        connection.execute(statement.format(compose.Identifier(sql.user), compose.Literal(verifier)))
        rows = connection.execute(ENABLED).fetchall()
        names = [str(name) for (name,) in connection.execute(CONNECTABLE).fetchall()]
    held = [quiet.Held(str(database), "subscription", str(name)) for database, name in rows]
    for one in held:
        with connect(one.database) as connection:
            connection.execute(compose.SQL("ALTER SUBSCRIPTION {} DISABLE").format(compose.Identifier(one.name)))
    for name in names:
        with connect(name) as connection:
            held += quiet.hold_jobs_alone(connection, name)
    return tuple(held)


def room_for(programs: Programs, folder: Path, sql: Sql) -> str:
    """Return the lines of configuration without which DR's server would not start on data, "" for none.

    `folder`: the data of a server that allows prepared transactions, which no program could prepare then, or that has
    large segments of WAL. Raises RestoreFailed, HarnessError.
    """
    control = control_of(programs, folder)
    needed = {PREPARED: limits_of(control).get(PREPARED, "0"), **sizes_of(control)}
    less = ask_row(sql, LESS, *needed.values())
    return "".join(f"{name} = {value}\n" for (name, value), short in zip(needed.items(), less, strict=True) if short)
