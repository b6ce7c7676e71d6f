"""Databases of initdb with another encoding or locale than in a backup: neither can be changed, so they are remade."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import LiteralString

import psycopg
from psycopg import sql as compose

from harness.core.errors import RestoreFailed
from harness.core.service import Sql
from harness.postgres.identity import MAINTENANCE, TEMPLATE, holds_user_data
from harness.postgres.roles.data import Database, ServerData
from harness.postgres.roles.restore import PROVIDERS, creation_of
from harness.postgres.server import connect, one_line

END_SESSIONS = """
SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity WHERE datname = %s
"""


def require_remakable(sql: Sql, data: ServerData, found: ServerData, names: Collection[str]) -> None:
    """Raise RestoreFailed where `remake` would: somebody has put something into a database that has to be made anew.

    `names`: of the databases that are restored; `found`: what the server has. Raises Unreadable.
    """
    for name, (before, after) in _differing(data, found, names):
        if holds_user_data(sql, name):
            raise RestoreFailed(
                f"database {name} at {sql.outside}: is {before}, and {after} in the backup; it is not made anew, for "
                "it has objects or settings of this server: remove them, or make the server by initdb with that "
                "encoding and locale"
            )


def remake(
    sql: Sql, data: ServerData, found: ServerData, names: Collection[str], *, again: bool = False
) -> tuple[str, ...]:
    """Make `postgres` and `template1` anew, empty, where they sort or encode in another way than in `data`.

    `names`: of the databases that are restored; `found`: what the server has; `again`: what is in them may be lost. No
    session of ours may be in them; others are ended. Return a line for each. Raises as `require_remakable`, and
    RestoreFailed where the server refuses.
    """
    if not again:
        require_remakable(sql, data, found, names)
    lines = []
    for name, (before, after) in _differing(data, found, names):
        try:
            _remake(sql, data.database(name), found.database(name), found.major)
        except psycopg.Error as error:
            what = f"database {name} at {sql.outside}"
            raise RestoreFailed(f"{what}: cannot be made anew as {after}: {one_line(error)}") from error
        lines.append(f"database {name}: made anew as {after}, as in the backup; it was {before}")
    return tuple(lines)


def _differing(data: ServerData, found: ServerData, names: Collection[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each database of initdb that has to be made anew, and what it is here and in the backup."""
    here = {database.name: database for database in found.databases}
    for name in (MAINTENANCE, TEMPLATE):
        if name in names and name in here:
            forms = _form(here[name]), _form(data.database(name))
            if forms[0] != forms[1]:
                yield name, forms


def _form(database: Database) -> str:
    """Return what CREATE DATABASE sets and nothing changes afterwards."""
    provider = PROVIDERS.get(database.provider, database.provider)
    form = (database.encoding, provider, database.collate, database.ctype, database.locale, database.rules)
    return " ".join(part for part in form if part)


def _remake(sql: Sql, wanted: Database, here: Database, major: int) -> None:
    # The new one takes the place of the old one at the end: a locale that is not there costs nothing. Until then nobody
    # can connect to it, as a monitor that asks every database: it could not be renamed.
    new = f"blackstart {wanted.name}"
    new_name, name = compose.Identifier(new), compose.Identifier(wanted.name)
    with connect(sql, TEMPLATE if wanted.name == MAINTENANCE else MAINTENANCE) as connection:

        def alter(statement: LiteralString, **values: compose.Composable) -> None:
            connection.execute(compose.SQL(statement).format(name=name, new=new_name, **values))

        connection.execute(creation_of(replace(wanted, name=new), major))
        try:
            alter("ALTER DATABASE {new} WITH ALLOW_CONNECTIONS false")
            connection.execute(END_SESSIONS, (new,))
            alter("ALTER DATABASE {name} WITH IS_TEMPLATE false")
            alter("DROP DATABASE {name} WITH (FORCE)")
        except psycopg.Error:
            with suppress(psycopg.Error):  # what is raised is why it failed
                alter("DROP DATABASE {new} WITH (FORCE)")
                alter("ALTER DATABASE {name} WITH IS_TEMPLATE {template}", template=compose.Literal(here.template))
            raise
        alter("ALTER DATABASE {new} RENAME TO {name}")
        alter("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
