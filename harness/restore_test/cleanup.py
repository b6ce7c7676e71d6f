"""Cleanup after a restore test: removes the restored data from a DR site, and nothing else."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from minio import Minio

from harness.core.contents import Contents
from harness.core.errors import REPORTED, HarnessError, reason_of
from harness.core.service import Objects, Place, Service, Tree
from harness.recovery.restore_files import sources_of
from harness.restore_test.server_cleanup import ServerSnapshot, clear_server, take
from harness.s3.client import asked, client
from harness.s3.objects import RESTORED, Bucket


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Inventory of a DR site: its database server, objects by bucket (None: no such bucket), files by volume."""

    server: ServerSnapshot
    objects: Mapping[str, frozenset[str] | None]
    files: Mapping[str, frozenset[str]]


def take_snapshot(place: Place, services: Sequence[Service], contents: Contents | None = None) -> Snapshot:
    """Return the inventory of everything that a restore of `contents` can change; raises HarnessError, OSError."""
    sources = [source for group in sources_of(services, contents).values() for source in group]
    buckets = {source.bucket for source in sources if isinstance(source, Objects)}
    volumes = {source.volume for source in sources if isinstance(source, Tree)}
    return Snapshot(
        take(place.sql),
        {bucket: _keys(place, bucket) for bucket in sorted(buckets)},
        {volume: frozenset(place.site.volume(volume).walk()) for volume in sorted(volumes)},
    )


def _keys(place: Place, bucket: str) -> frozenset[str] | None:
    store = client(place.s3)
    with asked(place.s3, bucket, "cannot be listed"):
        if not store.bucket_exists(bucket):
            return None
        return frozenset(str(entry.object_name) for entry in store.list_objects(bucket, recursive=True))


def clear(
    place: Place,
    backup_id: str,
    databases: Sequence[str],
    before: Snapshot,
    roles: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Remove what the restore of a backup added since `before`, services stopped; return a line a kind.

    `databases`: names of those that the backup contains; `roles`: likewise, None where nobody else can have made one
    since. Goes on after a failure, and raises HarnessError at the end that names all that is left and how to remove it.
    """
    removed: list[str] = []
    left: list[str] = []

    def attempt(what: str, step: Callable[[], str]) -> None:
        try:
            removed.append(step())
        except REPORTED as error:
            left.append(f"{what}: {reason_of(error)}; remove what the test restored there")

    def server() -> str:
        gone, stays = clear_server(place.sql, before.server, databases, roles)
        left.extend(stays)
        return "; ".join(gone)

    attempt(f"PostgreSQL at {place.sql}", server)
    for bucket, keys in before.objects.items():
        attempt(f"bucket {bucket}", partial(_clear_bucket, place, bucket, keys, backup_id))
    for name, files in before.files.items():
        attempt(f"volume {name}", partial(_clear_volume, place, name, files))
    if left:
        raise HarnessError(f"site {place.site.name} is not as it was before the test: {'; '.join(left)}")
    return tuple(removed)


def _clear_bucket(place: Place, bucket: str, earlier: frozenset[str] | None, backup_id: str) -> str:
    new = (_keys(place, bucket) or frozenset()) - (earlier or frozenset())
    removed = _empty(place, bucket, new, backup_id, whole=earlier is None)
    line = f"bucket {bucket}: {removed} objects"
    if left := len(new) - removed:  # whose they are nobody knows: of key functions, or of a replication
        line += f" ({left} others that came meanwhile were left there)"
    # Replicas over which the restore wrote; the earlier version is production's own copy.
    put_back = Bucket(place.s3, bucket).put_back(backup_id) if earlier else ()
    return f"{line}, {len(put_back)} replicas put back" if put_back else line


def _clear_volume(place: Place, name: str, earlier: frozenset[str]) -> str:
    """Remove restored files, and files that the services wrote while they ran: sessions, caches."""
    volume = place.site.volume(name)
    added = sorted(frozenset(volume.walk()) - earlier)
    for path in added:
        volume.remove(path)
    return f"volume {name}: {len(added)} files"


def _empty(place: Place, bucket: str, keys: frozenset[str], backup_id: str, *, whole: bool) -> int:
    """Remove all versions of restored objects, and a bucket that the restore created; return the number of objects."""
    store = client(place.s3)
    with asked(place.s3, bucket, "cleanup failed"):
        restored = [key for key in sorted(keys) if whole or origin(store, bucket, key) == backup_id]
        for key in restored:
            for entry in store.list_objects(bucket, prefix=key, include_version=True):
                if entry.object_name == key:
                    store.remove_object(bucket, key, version_id=entry.version_id)
        if whole and store.bucket_exists(bucket):
            store.remove_bucket(bucket)
    return len(restored)


def origin(store: Minio, bucket: str, key: str) -> str:
    """Return the id of the backup that an object was restored from, "" for other objects."""
    return str((store.stat_object(bucket, key).metadata or {}).get(f"x-amz-meta-{RESTORED}", ""))
