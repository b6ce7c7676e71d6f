"""A restored server that is thrown away after its use: what of it must not be in the way of its readers."""

import psycopg
from psycopg import sql as compose

from harness.core.errors import RestoreFailed
from harness.core.service import Sql
from harness.postgres.contents.undumped import prepared
from harness.postgres.server import connect, one_line


def roll_back_prepared(source: Sql, database: str = "") -> tuple[str, ...]:
    """Roll back the transactions that are prepared for a two-phase commit, of one database or of all.

    Whoever reads a table waits without end for one that altered it. Return a line for each: what it changed is in no
    copy. Raises RestoreFailed, HarnessError.
    """
    lines = []
    for of, gid, at, owner in prepared(source):
        if database not in ("", of):
            continue
        try:
            with connect(source, of) as connection:
                connection.execute(compose.SQL("ROLLBACK PREPARED {}").format(compose.Literal(gid)))
        except psycopg.Error as error:
            raise RestoreFailed(f"database {of}: prepared transaction {gid!r} of {at}: {one_line(error)}") from error
        lines.append(f"database {of}: without what the prepared transaction {gid!r} of {at} by role {owner} changed")
    return tuple(lines)
