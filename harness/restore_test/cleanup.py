"""Cleanup after a restore test: removes what the test brought onto a DR site, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from minio import Minio
from psycopg import sql as text

from harness.backup.archive import RESTORED
from harness.core.errors import HarnessError
from harness.core.service import Place, Service
from harness.postgres.identity import ask, databases
from harness.postgres.server import connect, one_line
from harness.repository.format.manifest import Manifest
from harness.s3.client import asked, client


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is on a DR site: databases, roles, objects by bucket (None: no such bucket), files by volume."""

    databases: frozenset[str]
    roles: frozenset[str]
    objects: Mapping[str, frozenset[str] | None]
    files: Mapping[str, frozenset[str]]


def take_snapshot(place: Place, services: Sequence[Service]) -> Snapshot:
    """Return what is on the site now, of all that a restore can touch. Raises HarnessError, OSError."""
    buckets = {o.bucket for service in services for o in service.sources().objects}
    volumes = {t.volume for service in services for t in service.sources().trees}
    return Snapshot(
        frozenset(databases(place.sql)),
        frozenset(str(name) for (name,) in ask(place.sql, "SELECT rolname FROM pg_catalog.pg_roles")),
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
    """Remove what the restore of a backup brought and was not there before; return a line for each kind.

    The services must be down. A database, a role, an object or a file that was there before stays as it is, and so does
    an object that replication brought meanwhile. Raises HarnessError for what cannot be removed.
    """
    now = take_snapshot(place, services)
    names = sorted(now.databases - before.databases & {d.name for d in manifest.contents.databases})
    roles = sorted(now.roles - before.roles)
    _drop(place, names, roles)
    lines = [f"databases: {', '.join(names) or 'none'}", f"roles: {', '.join(roles) or 'none'}"]
    for bucket, keys in now.objects.items():
        there = before.objects[bucket]
        new = (keys or frozenset()) - (there or frozenset())
        removed = _empty(place, bucket, new, manifest.backup_id, whole=there is None)
        lines.append(f"bucket {bucket}: {removed} objects")
    # Beside what was restored, what the services wrote while they were up: sessions, caches.
    for name, files in now.files.items():
        ours, volume = sorted(files - before.files[name]), place.site.volume(name)
        for path in ours:
            volume.remove(path)
        lines.append(f"volume {name}: {len(ours)} files")
    return tuple(lines)


def _drop(place: Place, names: Sequence[str], roles: Sequence[str]) -> None:
    with connect(place.sql) as connection:
        try:
            for name in names:
                connection.execute(text.SQL("DROP DATABASE {} WITH (FORCE)").format(text.Identifier(name)))
            for role in roles:
                connection.execute(text.SQL("DROP ROLE {}").format(text.Identifier(role)))
        except psycopg.Error as error:
            raise HarnessError(f"PostgreSQL at {place.sql.outside}: not cleared: {one_line(error)}") from error


def _empty(place: Place, bucket: str, keys: frozenset[str], backup_id: str, *, whole: bool) -> int:
    """Remove every version of those that were restored, and the bucket where the restore made it; return how many."""
    store = client(place.s3)
    with asked(place.s3, bucket, "not cleared"):
        ours = [key for key in sorted(keys) if whole or _origin(store, bucket, key) == backup_id]
        for key in ours:
            for entry in store.list_objects(bucket, prefix=key, include_version=True):
                if entry.object_name == key:
                    store.remove_object(bucket, key, version_id=entry.version_id)
        if whole and store.bucket_exists(bucket):
            store.remove_bucket(bucket)
    return len(ours)


def _origin(store: Minio, bucket: str, key: str) -> str:
    """Return from which backup an object was restored, "" for one that was not."""
    return str((store.stat_object(bucket, key).metadata or {}).get(f"x-amz-meta-{RESTORED}", ""))
