"""Where one database goes: an empty or a new database of a running server, never the one that was backed up."""

from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError, RestoreFailed
from harness.core.service import Sql
from harness.physical.single.left import END_SCHEDULER, holds_only
from harness.postgres.identity import ask, catalogue, is_empty, system_facts
from harness.postgres.roles.data import Database
from harness.postgres.roles.restore import creation_of
from harness.postgres.server import connect, one_line

SUPERUSER = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
ROLES = "SELECT rolname::text FROM pg_catalog.pg_roles"
# Of a database that was made and is not filled yet, so that one that a killed restore left can be told from another.
UNFINISHED = "by `blackstart restore`: not filled yet"
LEFT = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_database
               WHERE datname = %s AND pg_catalog.shobj_description(oid, 'pg_database') = %s)
"""
EXTENSIONS = "SELECT name::text FROM pg_catalog.pg_available_extensions"


@dataclass(frozen=True, slots=True)
class Into:
    """A database of a server that is there. `new`: it does not exist yet; `system`: of the server; `major`: version.

    `left`: one of that name is there, which a restore made that was killed before it filled it; it is made anew.
    """

    sql: Sql
    name: str
    new: bool
    system: str
    major: int
    left: bool = False

    @property
    def where(self) -> str:
        """Return how a message names it."""
        return f"--into-database: database {self.name} at {self.sql}"

    def obstacles(self, database: str, system: str, major: int) -> tuple[str, ...]:
        """Return a line for each reason why it cannot take a database of that name, system and major version."""
        lines = []
        if self.system == system and not (self.new and self.name != database):
            lines.append(
                "is on the server that was backed up; name a database that does not exist there, and not "
                f"{database} itself"
            )
        elif not self.new and not is_unfilled(self.sql, self.name):
            lines.append("is not empty, and nothing is restored over it; name a new one")
        if self.major < major:
            lines.append(f"is of PostgreSQL {self.major}, the backup of {major}; name a server that is not older")
        return tuple(lines)

    def lacking(self, roles: set[str], extensions: set[str]) -> tuple[str, ...]:
        """Return a line for each kind of thing that the server lacks. Raises HarnessError."""
        there = {str(name) for (name,) in ask(self.sql, ROLES)}
        available = {str(name) for (name,) in ask(self.sql, EXTENSIONS)}
        lines = []
        if missing := sorted(roles - there):
            lines.append(f"its server has no role {', '.join(missing)}; make them, or give --no-owner")
        if missing := sorted(extensions - available):
            lines.append(f"its server lacks the extension {', '.join(missing)}; install it there")
        return tuple(lines)

    def make(self, like: Database, *, owner: bool) -> None:
        """Create it, with encoding and locale of another. Raises RestoreFailed. `owner`: and with its owner."""
        wanted = replace(like, name=self.name, owner=like.owner if owner else self.sql.user)
        if self.left and not is_left(self.sql, self.name):  # it was looked at before the backup was fetched
            raise RestoreFailed(f"{self.where}: somebody has filled it meanwhile, and nothing is restored over it")
        try:
            with connect(self.sql) as connection:
                if self.left:  # not by force: a restore that still runs is connected to it
                    connection.execute(END_SCHEDULER.encode(), (self.name,))
                    connection.execute(compose.SQL("DROP DATABASE {}").format(compose.Identifier(self.name)))
                connection.execute(creation_of(wanted, self.major))
        except psycopg.Error as error:
            raise RestoreFailed(f"{self.where}: cannot be created: {one_line(error)}") from error

    def begin(self) -> None:
        """Say of a database that was made that it is not filled yet. Raises RestoreFailed."""
        self._remark(UNFINISHED)

    def finish(self) -> None:
        """Say of a database that was made that it is filled. Raises RestoreFailed."""
        self._remark(None)

    def _remark(self, text: str | None) -> None:
        comment = compose.SQL("COMMENT ON DATABASE {} IS {}").format(
            compose.Identifier(self.name), compose.Literal(text)
        )
        try:
            with connect(self.sql) as connection, suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute(comment)
        except psycopg.Error as error:
            raise RestoreFailed(f"{self.where}: its comment cannot be changed: {one_line(error)}") from error

    def drop(self) -> str:
        """Remove it after a failure; return why it is still there, "" if it is not."""
        query = compose.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(compose.Identifier(self.name))
        try:
            with connect(self.sql) as connection:
                connection.execute(query)
        except (psycopg.Error, HarnessError) as error:
            return f"database {self.name} at {self.sql} is incomplete and could not be dropped ({error}); drop it"
        return ""


def look_into(sql: Sql, name: str) -> Into:
    """Return a database of a server, which need not exist. Raises HarnessError when the server does not answer."""
    ordinary = replace(sql, superuser=False)
    ((superuser,),) = ask(ordinary, SUPERUSER)
    found = replace(sql, superuser=bool(superuser))
    facts = system_facts(found)
    left = is_left(found, name)
    new = left or all(one.name != name for one in catalogue(found))
    return Into(found, name, new, facts.identifier, facts.major, left)


def is_left(sql: Sql, name: str) -> bool:
    """Return whether a restore that was killed made a database, and nobody anything in it. Raises HarnessError."""
    return ask(sql, LEFT, values=(name, UNFINISHED)) == [(True,)] and is_unfilled(sql, name)


def is_unfilled(sql: Sql, name: str) -> bool:
    """Return whether nobody but a restore that was killed has made anything in a database. Raises HarnessError."""
    return is_empty(sql, name) or holds_only(sql, name)
