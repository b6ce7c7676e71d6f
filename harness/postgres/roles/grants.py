"""Grants on databases, schemas and parameters: those of a server are made those of a backup."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from psycopg import sql as compose

from harness.postgres.roles.data import Grant
from harness.postgres.session import Connection

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
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
    for grant in by_dependency(
        waiting,
        # The owner's grants first; a grantor must have the privilege with its option already.
        lambda g: None if g.grantor == owner else (g.on, g.grantor, g.privilege),
        lambda g: (g.on, g.grantee, g.privilege) if g.grantable else None,
        able,
    ):
        option = " WITH GRANT OPTION" if grant.grantable else ""
        _as(connection, grant, owner, kind, "GRANT {} ON {} {} TO {}" + option)


def by_dependency(
    items: Iterable[Item], needs: Callable[[Item], Key | None], gives: Callable[[Item], Key | None], have: Iterable[Key]
) -> Iterator[Item]:
    """Yield items, each after one that gives what it needs, None for nothing; last those whose need nothing gives.

    `have`: what is given before.
    """
    given = set(have)
    waiting: dict[Key, list[Item]] = {}
    ready: deque[Item] = deque()
    for item in items:
        need = needs(item)
        if need is None or need in given:
            ready.append(item)
        else:
            waiting.setdefault(need, []).append(item)
    while ready:
        yield (item := ready.popleft())
        if (gift := gives(item)) is not None:
            given.add(gift)
            ready.extend(waiting.pop(gift, ()))
    for rest in waiting.values():
        yield from rest


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
