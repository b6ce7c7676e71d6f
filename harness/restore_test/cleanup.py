"""Cleanup after a restore test: removes the restored data from a DR site, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from minio import Minio
from psycopg import sql as text

from harness.core.errors import HarnessError
from harness.core.service import Place, Service
from harness.postgres.identity import databases
from harness.postgres.roles.data import inspect
from harness.postgres.server import connect, one_line
from harness.repository.format.manifest import Manifest
from harness.s3.client import asked, client
from harness.s3.objects import RESTORED


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Inventory of a DR site: databases, roles, objects by bucket (None: no such bucket), files by volume."""

    databases: frozenset[str]
    roles: frozenset[str]
    objects: Mapping[str, frozenset[str] | None]
    files: Mapping[str, frozenset[str]]


def take_snapshot(place: Place, services: Sequence[Service]) -> Snapshot:
    """Return the inventory of everything that a restore can change; raises HarnessError, OSError."""
    buckets = {o.bucket for service in services for o in service.sources().objects}
    volumes = {t.volume for service in services for t in service.sources().trees}
    return Snapshot(
        frozenset(databases(place.sql)),
        frozenset(role.name for role in inspect(place.sql).roles),
        {bucket: _keys(place, bucket) for bucket in sorted(buckets)},
        {volume: frozenset(place.site.volume(volume).walk()) for volume in sorted(volumes)},
    )


def _keys(place: Place, bucket: str) -> frozenset[str] | None:
    store = client(place.s3)
    with asked(place.s3, bucket, "cannot be listed"):
        if not store.bucket_exists(bucket):
            return None
        return frozenset(str(entry.object_name) for entry in store.list_objects(bucket, recursive=True))


def clear(place: Place, services: Sequence[Service], manifest: Manifest, before: Snapshot) -> tuple[str, ...]:
    """Remove what the restore added since `before`, services stopped; return a line a kind. Raises HarnessError."""
    now = take_snapshot(place, services)
    names = sorted(now.databases - before.databases & {d.name for d in manifest.contents.databases})
    roles = sorted(now.roles - before.roles)
    _drop(place, names, roles)
    lines = [f"databases: {', '.join(names) or 'none'}", f"roles: {', '.join(roles) or 'none'}"]
    for bucket, keys in now.objects.items():
        earlier = before.objects[bucket]
        new = (keys or frozenset()) - (earlier or frozenset())
        removed = _empty(place, bucket, new, manifest.backup_id, whole=earlier is None)
        lines.append(f"bucket {bucket}: {removed} objects")
    # Restored files, and files that the services wrote while they ran: sessions, caches.
    for name, files in now.files.items():
        added, volume = sorted(files - before.files[name]), place.site.volume(name)
        for path in added:
            volume.remove(path)
        lines.append(f"volume {name}: {len(added)} files")
    return tuple(lines)


def _drop(place: Place, names: Sequence[str], roles: Sequence[str]) -> None:
    with connect(place.sql) as connection:
        try:
            for name in names:
                connection.execute(text.SQL("DROP DATABASE {} WITH (FORCE)").format(text.Identifier(name)))
            for role in roles:
                connection.execute(text.SQL("DROP ROLE {}").format(text.Identifier(role)))
        except psycopg.Error as error:
            raise HarnessError(f"PostgreSQL at {place.sql.outside}: cleanup failed: {one_line(error)}") from error


def _empty(place: Place, bucket: str, keys: frozenset[str], backup_id: str, *, whole: bool) -> int:
    """Remove all versions of restored objects, and a bucket that the restore created; return the number of objects."""
    store = client(place.s3)
    with asked(place.s3, bucket, "cleanup failed"):
        restored = [key for key in sorted(keys) if whole or _origin(store, bucket, key) == backup_id]
        for key in restored:
            for entry in store.list_objects(bucket, prefix=key, include_version=True):
                if entry.object_name == key:
                    store.remove_object(bucket, key, version_id=entry.version_id)
        if whole and store.bucket_exists(bucket):
            store.remove_bucket(bucket)
    return len(restored)


def _origin(store: Minio, bucket: str, key: str) -> str:
    """Return the id of the backup that an object was restored from, "" for other objects."""
    return str((store.stat_object(bucket, key).metadata or {}).get(f"x-amz-meta-{RESTORED}", ""))
