"""Collations of a restored server whose version is another than that by which the indexes of the backup were sorted."""

from collections.abc import Callable, Iterable, Iterator

import psycopg

from harness.core.contents import Needs
from harness.core.errors import HarnessError
from harness.physical.installation.lacking import named
from harness.postgres.contents.properties import COLLATIONS, OWN, rebuild
from harness.postgres.server import one_line
from harness.postgres.session import Connection

DATABASES = """
SELECT datname::text, datallowconn, datcollversion, pg_catalog.pg_database_collation_actual_version(oid)
FROM pg_catalog.pg_database WHERE datconnlimit <> -2 ORDER BY 1
"""


def other_collations(connect: Callable[[str], Connection], needs: Needs) -> tuple[str, ...]:
    """Return a line for each collation that sorts by another version here, with what to do.

    What counts is the version that the catalogue has, and that by which the primary sorted at the backup: a primary
    whose library was exchanged has both. A database that refuses the connection is named with the reason. `connect`:
    as the superuser to a database, "": to one of those that initdb makes. Raises psycopg.Error, HarnessError where
    none of these can be connected to.
    """
    sorted_by = {(one.name, name): version for one in needs.databases for name, version in one.collations}
    found: dict[str, list[str]] = {}
    with connect("") as connection:
        rows = connection.execute(DATABASES).fetchall()
    for name, connectable, recorded, actual in rows:
        before = (recorded, sorted_by.get((name, OWN)))
        if actual is not None and (other := _others(before, actual)):
            line = (
                f"text was sorted by version {other} of its collation, and is by {actual} here: indexes on it "
                f"may be wrong; before use {rebuild(OWN)}"
            )
            found.setdefault(line, []).append(name)
        if connectable:
            for line in _within(connect, name, sorted_by):
                found.setdefault(line, []).append(name)
    return tuple(f"{named(databases)}: {line}" for line, databases in found.items())


def _within(connect: Callable[[str], Connection], name: str, sorted_by: dict[tuple[str, str], str]) -> Iterator[str]:
    try:
        with connect(name) as connection:
            rows = connection.execute(COLLATIONS).fetchall()
    except psycopg.Error as error:
        yield f"refuses the connection: {one_line(error)}"
        return
    except HarnessError as error:
        yield f"refuses the connection: {error}"
        return
    for label, recorded, actual in rows:
        if actual is not None and (other := _others((recorded, sorted_by.get((name, label))), actual)):
            yield (
                f"collation {label} sorted by version {other}, and by {actual} here: indexes with it may be wrong; "
                f"before use {rebuild(label)}"
            )


def _others(before: Iterable[str | None], actual: str) -> str:
    """Return the versions before that are known and differ from the actual one, "" for none."""
    return " and ".join(dict.fromkeys(version for version in before if version and version != actual))
