"""Grants on databases, schemas and parameters: those of a server are made those of a backup."""

from collections.abc import Iterable

from psycopg import sql as compose

from harness.postgres.roles.data import Grant
from harness.postgres.session import Connection

PRIVILEGES = {
    "DATABASE": ("CONNECT", "CREATE", "TEMPORARY"),
    "PARAMETER": ("ALTER SYSTEM", "SET"),
    "SCHEMA": ("USAGE", "CREATE"),
}


def align(connection: Connection, kind: str, here: Iterable[Grant], wanted: Iterable[Grant], owner: str = "") -> None:
    """Revoke the grants of `here` that are not `wanted`, and make those that are missing, each by its grantor.

    `kind`: DATABASE, SCHEMA or PARAMETER; `owner`: of the database or schema, "" for the bootstrap superuser, who
    owns parameters.
    """
    present, wanted = set(here), list(wanted)
    for extra in sorted(present - set(wanted), key=_order):
        _as(connection, extra, owner, kind, "REVOKE {} ON {} {} FROM {} CASCADE")
    waiting = sorted(set(wanted) - (present if present <= set(wanted) else set()), key=_order)
    able = {(g.on, g.grantee, g.privilege) for g in present & set(wanted) if g.grantable}
    while waiting:
        # The owner's grants first; a grantor must have the privilege with its option already.
        ready = [g for g in waiting if g.grantor == owner or (g.on, g.grantor, g.privilege) in able] or waiting
        for grant in ready:
            option = " WITH GRANT OPTION" if grant.grantable else ""
            _as(connection, grant, owner, kind, "GRANT {} ON {} {} TO {}" + option)
        able |= {(g.on, g.grantee, g.privilege) for g in ready if g.grantable}
        waiting = [grant for grant in waiting if grant not in ready]


def _order(grant: Grant) -> tuple[str, ...]:
    return (grant.on, grant.grantor, grant.grantee, grant.privilege)


def _as(connection: Connection, grant: Grant, owner: str, kind: str, statement: str) -> None:
    """Run a statement as the grantor; a superuser's counts as the owner's."""
    if grant.privilege not in PRIVILEGES[kind]:
        return  # of a version that does not exist yet
    if grant.grantor != owner:
        connection.execute(compose.SQL("SET LOCAL SESSION AUTHORIZATION {}").format(compose.Identifier(grant.grantor)))
    connection.execute(
        compose.SQL(statement).format(
            compose.SQL(grant.privilege),
            compose.SQL(kind),
            compose.Identifier(grant.on),
            compose.Identifier(grant.grantee) if grant.grantee else compose.SQL("PUBLIC"),
        )
    )
    if grant.grantor != owner:
        connection.execute("RESET SESSION AUTHORIZATION")
