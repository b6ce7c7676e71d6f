"""Plan of a backup: everything that is declared or found on the primary, and what of it cannot be backed up."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from minio.error import S3Error

from harness.backup.archive import bucket_name, volume_name
from harness.core.contents import Contents, Gap, Missing
from harness.core.errors import BackupFailed, HarnessError, UsageError
from harness.core.service import S3, Objects, Place, Service, Tree
from harness.core.text import some
from harness.postgres.contents.undumped import undumped
from harness.postgres.identity import DatabaseEntry, catalogue, databases
from harness.s3.client import asked, client
from harness.substrate.existing.site import ExistingSite, is_elsewhere

SHOWN = 10  # names that are there, in the message about one that is missing
UNLISTED = ("AccessDenied", "AllAccessDisabled")  # answers of a store to keys that may not list its buckets


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backup contains. `gaps`: what is declared or found and cannot be, or is excluded; `exclude`: declared.

    `declared`: databases of services, without which there is no backup; `oids`: of `databases`, by name.
    """

    databases: tuple[str, ...]
    trees: tuple[Tree, ...]
    objects: tuple[Objects, ...]
    gaps: tuple[Gap, ...]
    exclude: Mapping[str, str] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()
    oids: Mapping[str, int] = field(default_factory=dict)


def plan_of(place: Place, services: Sequence[Service], exclude: Mapping[str, str]) -> Plan:
    """Return the plan of a backup of the site. `exclude`: `database NAME` and the like -> reason.

    Raises BackupFailed for what a service declares and is not there; HarnessError.
    """
    oids, gaps = _databases(place, services, exclude)
    objects, more = _buckets(place, services, exclude)
    trees, rest = _trees(place, services, exclude)
    declared = frozenset(name for service in services for name in service.sources().databases)
    return Plan(tuple(sorted(oids)), trees, objects, (*gaps, *more, *rest), exclude, declared, oids)


def _databases(
    place: Place, services: Sequence[Service], exclude: Mapping[str, str]
) -> tuple[dict[str, int], list[Gap]]:
    """Return the OIDs of the databases that can be backed up, by name, and what cannot."""
    entries = {entry.name: entry for entry in catalogue(place.sql)}
    wanted = set(databases(place.sql))
    for service in services:
        for name in service.sources().databases:
            if name not in entries and f"database {name}" not in exclude:
                there = [entry.name for entry in entries.values() if entry.name in wanted]
                raise BackupFailed(
                    f"service {service.name}: database {name} does not exist on {place.sql.outside}; "
                    f"there are: {some(there, SHOWN) or 'none'}; restore it, or correct its declaration"
                )
            wanted.add(name)
    found = [_database(entry, exclude) for entry in entries.values() if entry.name in wanted or not _readable(entry)]
    gaps = [gap for gap in found if isinstance(gap, Gap)]
    names = tuple(sorted(name for name in found if isinstance(name, str)))
    declared = {name for service in services for name in service.sources().databases}
    for name in names:
        for schema, what in _undumped(place, name, declared):
            why = f"pg_dump writes nothing of a schema that PostgreSQL brings: {what}; move it to a schema of your own"
            gaps.append(_gap(f"schema {schema} of database {name}", why, exclude))
    return {name: entries[name].oid for name in names}, gaps


def _undumped(place: Place, name: str, declared: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return what of a database no dump has; nothing of one that went meanwhile: the backup says so of it."""
    try:
        return tuple(undumped(place.sql, name))
    except HarnessError:
        if name in declared or any(entry.name == name for entry in catalogue(place.sql)):
            raise
        return ()


def _readable(entry: DatabaseEntry) -> bool:
    return (entry.connectable and entry.valid) or entry.name == "template0"


def _database(entry: DatabaseEntry, exclude: Mapping[str, str]) -> str | Gap:
    what = f"database {entry.name}"
    if what in exclude:
        return Gap(what, "left out", exclude[what])
    if not entry.valid:
        # Nobody can connect to it again: there is nothing to lose.
        return Gap(what, "invalid (datconnlimit -2)", "an interrupted DROP DATABASE left it; drop it")
    if not entry.connectable:
        return Gap(what, "it allows no connections; ALTER DATABASE ... ALLOW_CONNECTIONS true, or exclude it")
    return entry.name


def _buckets(
    place: Place, services: Sequence[Service], exclude: Mapping[str, str]
) -> tuple[tuple[Objects, ...], list[Gap]]:
    declared = _declared(services)
    listed = listed_buckets(place.s3)
    gaps = []
    if listed is None:
        gaps.append(
            _gap("bucket *", "buckets that no service declares cannot be listed with the keys of the site", exclude)
        )
    present = _present(place, declared) if listed is None else listed
    for bucket, (service, _) in declared.items():
        if bucket not in present and f"bucket {bucket}" not in exclude:
            raise BackupFailed(
                f"service {service}: bucket {bucket} does not exist at {place.s3.outside}; "
                f"there are: {some(sorted(present), SHOWN) or 'none'}; create it, or correct its declaration"
            )
    wanted = []
    for bucket in sorted(present):
        if f"bucket {bucket}" in exclude:
            gaps.append(Gap(f"bucket {bucket}", "left out", exclude[f"bucket {bucket}"]))
        elif bucket in declared:
            wanted.append(declared[bucket][1])
        elif "bucket *" not in exclude:
            wanted.append(Objects(bucket, found=True))
        else:
            gaps.append(Gap(f"bucket {bucket}", "declared by no service", exclude["bucket *"]))
    return tuple(wanted), gaps


def _declared(services: Sequence[Service]) -> dict[str, tuple[str, Objects]]:
    """Return the declared buckets, each with a service that declares it. One with several declarations is taken whole.

    What one service refers to would otherwise not be in the backup of what another refers to.
    """
    declared: dict[str, tuple[str, Objects]] = {}
    for service in services:
        for objects in service.sources().objects:
            first = declared.setdefault(objects.bucket, (service.name, objects))
            if first[1] != objects:
                declared[objects.bucket] = (first[0], Objects(objects.bucket))
    return declared


def listed_buckets(s3: S3) -> frozenset[str] | None:
    """Return the buckets of the store, None when its keys may not list them. Raises HarnessError."""
    with asked(s3, "*", "buckets cannot be listed"):
        try:
            return frozenset(bucket.name for bucket in client(s3).list_buckets())
        except S3Error as error:
            if error.code in UNLISTED:
                return None
            raise


def _present(place: Place, names: Iterable[str]) -> frozenset[str]:
    store = client(place.s3)
    with asked(place.s3, "*", "buckets cannot be looked up"):
        return frozenset(name for name in names if store.bucket_exists(name))


def _trees(place: Place, services: Sequence[Service], exclude: Mapping[str, str]) -> tuple[tuple[Tree, ...], list[Gap]]:
    wanted: list[Tree] = []
    gaps: list[Gap] = []
    claimed: dict[str, list[Tree]] = {}
    for service in services:
        for tree in service.sources().trees:
            if not tree.optional and f"volume {tree.volume}" not in exclude:
                _require_mounted(place, service.name, tree.volume)
            claimed.setdefault(tree.volume, []).append(tree)
    for volume in sorted({*claimed, *_volumes(place, services)}):
        if f"volume {volume}" in exclude:
            gaps.append(Gap(f"volume {volume}", "left out", exclude[f"volume {volume}"]))
            continue
        if is_elsewhere(place.site, volume):
            why = f"its folder is not declared; name it under [existing.{place.site.name}.volumes], or exclude it"
            gaps.append(Gap(f"volume {volume}", why))
            continue
        wanted += claimed.get(volume, ())
        rest = _rest(volume, claimed.get(volume, ()), services)
        if rest is not None and _name(rest) in exclude:
            gaps.append(Gap(_name(rest), "left out", exclude[_name(rest)]))
        elif rest is not None:
            wanted.append(rest)
    return tuple(wanted), gaps


def _rest(volume: str, trees: Sequence[Tree], services: Sequence[Service]) -> Tree | None:
    """Return a tree of what is in the volume outside its declared folders, None where those are all of it."""
    folders = tuple(sorted(tree.folder.strip("/") for tree in trees))
    if "" in folders:
        return None
    made_anew = (path for service in services for of, path in service.sources().disposable if of == volume)
    return Tree(volume_name(volume), volume, "", without=folders, disposable=tuple(made_anew), found=True)


def _name(rest: Tree) -> str:
    """Return what a gap and `[backup.exclude]` call the part of a volume that no service declares.

    Where services declare another part, to exclude the volume would leave that out as well.
    """
    return f"rest of volume {rest.volume}" if rest.without else f"volume {rest.volume}"


def undeclared(tree: Tree, files: int) -> Gap | None:
    """Return the gap of a tree that no service declares and that has files, None for any other tree.

    It is backed up as it was found: which of its files belong to which state of a database is not known.
    """
    if not tree.found or not files:
        return None
    outside = f" outside {', '.join(tree.without)}" if tree.without else ""
    return Gap(
        _name(tree),
        f"no service declares its {files} files{outside}: backed up as found, not checked with a database; "
        f"name their folder in `files` of a service, or exclude {_name(tree)!r}",
    )


def unread(tree: Tree, lost: Sequence[Missing]) -> Gap | None:
    """Return the gap of what could not be read of a tree that no service declares, None where nothing is lost."""
    lines = [f"{one.path}: {one.reason}" for one in lost if one.holds_data]
    if not lines:
        return None
    return Gap(_name(tree), f"{some(lines, SHOWN)}; make it a file that backups can read, or exclude {_name(tree)!r}")


def uncounted(tree: Tree, lost: Sequence[Missing]) -> Gap | None:
    """Return the gap of what may lead to any number of files of a tree, None where there is none.

    As a missing file each would count once, however much is lost with it. What a database refers to is one file.
    """
    lines = [f"{one.path}: {one.reason}" for one in lost if one.uncounted]
    if tree.referenced or not lines:
        return None
    name = _name(tree) if tree.found else tree.name
    remedy = f", or exclude {name!r}" if tree.found else ""
    return Gap(name, f"{some(lines, SHOWN)}; put the files themselves there, where backups can read them{remedy}")


def _volumes(place: Place, services: Sequence[Service]) -> Iterator[str]:
    """Yield every volume that a service or the site declares."""
    for service in services:
        yield from service.sources().volumes
    if isinstance(place.site, ExistingSite):
        yield from place.site.folders


def _require_mounted(place: Place, service: str, volume: str) -> None:
    """Raise BackupFailed for a volume of an existing site that is not mounted on this machine."""
    site = place.site
    if not isinstance(site, ExistingSite):
        return
    if volume not in site.folders:
        raise BackupFailed(
            f"service {service}: volume {volume} of {site.name} is not declared; "
            f"name its folder under [existing.{site.name}.volumes]"
        )
    try:
        site.volume(volume)
    except UsageError as error:
        raise BackupFailed(f"service {service}: {error}") from error


def _gap(what: str, why: str, exclude: Mapping[str, str]) -> Gap:
    return Gap(what, why, exclude.get(what, ""))


def not_in(services: Sequence[Service], contents: Contents) -> tuple[Gap, ...]:
    """Return what services declare and a backup does not contain: it was declared after the backup was taken."""
    inside = {f"database {database.name}" for database in contents.databases} | {gap.what for gap in contents.gaps}
    trees = {tree.name for tree in contents.trees}
    lacking = []
    for service in services:
        sources = service.sources()
        declared = {f"database {name}": False for name in sources.databases}
        declared |= {f"volume {tree.volume}": tree.name in trees for tree in sources.trees}
        declared |= {bucket_name(one.bucket): bucket_name(one.bucket) in trees for one in sources.objects}
        absent = (what for what, there in declared.items() if not there and what not in inside)
        lacking += [Gap(what, f"declared by {service.name}, and not in this backup") for what in absent]
    return tuple(lacking)
