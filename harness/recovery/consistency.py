"""Consistency between stores: how far apart their snapshots were, and whether what refers to the other is there."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from harness.core.contents import Contents, DatabaseFacts, TreeFacts
from harness.core.service import Service


def consistency(
    services: Iterable[Service], contents: Contents, lost: Sequence[str], point: str = ""
) -> tuple[str, ...]:
    """Return one line for each pair of stores. `lost`: what is referred to and is not on the site, a line each.

    `point`: to which all databases were restored together, after the files were backed up; "": each has its snapshot.

    Of two databases of services: by how many seconds their snapshots are apart. Of a database and the files or objects
    that it refers to, asked in its snapshot: how many of them the site lacks.
    """
    sources = [service.sources() for service in services]
    declared = {name for source in sources for name in source.databases}
    databases = [database for database in contents.databases if database.name in declared]
    trees = {tree.name: tree for tree in contents.trees}
    lines = [f"all databases: one point in time, {point}"] if point else list(_skews(databases))
    when = f"as of {point}; files are older" if point else "as of the database's snapshot"
    for source in sources:
        for tree in (tree for tree in source.trees if tree.database and tree.name in trees):
            lines.append(_referenced(tree.database, trees[tree.name], lost, when))
        for objects in (objects for objects in source.objects if objects.database):
            if (found := trees.get(f"bucket {objects.bucket}")) is not None:
                lines.append(_referenced(objects.database, found, lost, when))
    return tuple(lines)


def _skews(databases: Sequence[DatabaseFacts]) -> Iterator[str]:
    for one, other in combinations(databases, 2):
        yield f"{one.name} and {other.name}: snapshots {abs(one.snapshot_mono - other.snapshot_mono):.1f} s apart"


def _referenced(database: str, tree: TreeFacts, lost: Sequence[str], when: str) -> str:
    missing = sum(line.startswith(f"{tree.name}: ") for line in lost)
    return f"{database} and {tree.name}: {missing or 'none'} of {tree.files} lacking, {when}"
