"""Databases of initdb with another encoding or locale than in a backup: neither can be changed, so they are remade."""

from collections.abc import Collection
from dataclasses import replace

import psycopg
from psycopg import sql as compose

from harness.core.errors import RestoreFailed
from harness.core.service import Sql
from harness.postgres.identity import MAINTENANCE, TEMPLATE, holds_user_data
from harness.postgres.roles.data import Database, ServerData
from harness.postgres.roles.restore import PROVIDERS, creation_of
from harness.postgres.server import connect, one_line


def remake(
    sql: Sql, data: ServerData, found: ServerData, names: Collection[str], *, again: bool = False
) -> tuple[str, ...]:
    """Make `postgres` and `template1` anew, empty, where they sort or encode in another way than in `data`.

    `names`: of the databases that are restored; `found`: what the server has; `again`: what is in them may be lost. No
    session of ours may be in them; others are ended. Return a line for each. Raises RestoreFailed, also where somebody
    has put something into one, Unreadable.
    """
    here = {database.name: database for database in found.databases}
    lines = []
    for name in (MAINTENANCE, TEMPLATE):
        if name not in names or name not in here:
            continue
        wanted = data.database(name)
        before, after = _form(here[name]), _form(wanted)
        if before == after:
            continue
        what = f"database {name} at {sql.outside}"
        if not again and holds_user_data(sql, name):
            raise RestoreFailed(
                f"{what}: is {before}, and {after} in the backup; it is not made anew, for it has objects or settings "
                "of this server: remove them, or make the server by initdb with that encoding and locale"
            )
        try:
            _remake(sql, wanted, found.major)
        except psycopg.Error as error:
            raise RestoreFailed(f"{what}: cannot be made anew as {after}: {one_line(error)}") from error
        lines.append(f"database {name}: made anew as {after}, as in the backup; it was {before}")
    return tuple(lines)


def _form(database: Database) -> str:
    """Return what CREATE DATABASE sets and nothing changes afterwards."""
    provider = PROVIDERS.get(database.provider, database.provider)
    form = (database.encoding, provider, database.collate, database.ctype, database.locale, database.rules)
    return " ".join(part for part in form if part)


def _remake(sql: Sql, wanted: Database, major: int) -> None:
    # The new one takes the place of the old one at the end: a locale that is not there costs nothing.
    new = f"blackstart {wanted.name}"
    new_name, name = compose.Identifier(new), compose.Identifier(wanted.name)
    with connect(sql, TEMPLATE if wanted.name == MAINTENANCE else MAINTENANCE) as connection:
        connection.execute(creation_of(replace(wanted, name=new), major))
        connection.execute(compose.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(name))
        connection.execute(compose.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        connection.execute(compose.SQL("ALTER DATABASE {} RENAME TO {}").format(new_name, name))
