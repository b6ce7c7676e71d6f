"""What a repository holds that nothing accounts for: objects, older versions, delete markers, unfinished uploads."""

from __future__ import annotations

from collections.abc import Iterator

from harness.repository.catalogue import Repository
from harness.repository.store.s3 import S3Store
from harness.repository.wal.catalogue import read_systems


def unaccounted(repository: Repository, store: S3Store, key: bytes, recipients: frozenset[str]) -> tuple[str, ...]:
    """Return a line for each. `key`: DR's; `recipients`: fingerprints of those that may be wrapped to."""
    there, wanted = [], {*_of_backups(repository, key, recipients), *_of_wal(repository, recipients)}
    for one in store.versions(""):
        if one.marker:
            there.append(f"delete marker of {one.key}")
        elif not one.newest:
            there.append(f"older version of {one.key}")
        elif one.key not in wanted and not one.key.startswith(repository.layout.of("expired")):
            there.append(one.key)
    uploads = store._client.unfinished(store.bucket, store.prefix)
    return (*there, *(f"unfinished upload of {one.key}" for one in uploads))


def _of_backups(repository: Repository, key: bytes, recipients: frozenset[str]) -> Iterator[str]:
    layout = repository.layout
    for entry in repository.committed():
        name = entry.backup_id
        yield from (layout.commit(name), layout.manifest(name))
        yield from (layout.keys(name, one) for one in recipients)
        yield from (layout.data(name, one.path) for one in repository.open(entry, key).manifest.objects)
        if entry.physical:
            yield layout.writer(name)


def _of_wal(repository: Repository, recipients: frozenset[str]) -> Iterator[str]:
    layout = repository.layout
    for one in (listed for wal in read_systems(repository) for listed in wal.lists):
        yield layout.wal_list(one.sequence, one.run, one.tail)
        yield from (layout.wal(one.run, entry.path) for entry in one.entries)
        yield from (layout.wal_keys(one.run, name) for name in recipients)
