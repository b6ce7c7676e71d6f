"""An S3 server in memory, behind a client of minio."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

from minio.commonconfig import Tags


@dataclass
class MemoryObjects:
    """The object store of one site. `refused`: the name of a call -> the reason why it fails."""

    buckets: dict[str, dict[str, tuple[bytes, dict[str, str]]]] = field(default_factory=dict)
    tags: dict[str, Tags] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass
class MemoryMinio:
    """A client of minio."""

    find: Callable[[], MemoryObjects]

    def _store(self, call: str) -> MemoryObjects:
        store = self.find()
        if call in store.refused:
            raise OSError(store.refused[call])
        return store

    def list_buckets(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in self._store("list_buckets").buckets]

    def bucket_exists(self, bucket: str) -> bool:
        return bucket in self._store("bucket_exists").buckets

    def make_bucket(self, bucket: str) -> None:
        self._store("make_bucket").buckets[bucket] = {}

    def remove_bucket(self, bucket: str) -> None:
        del self._store("remove_bucket").buckets[bucket]

    def get_bucket_versioning(self, _bucket: str) -> SimpleNamespace:
        return SimpleNamespace(status="Enabled")

    def set_bucket_tags(self, bucket: str, tags: Tags) -> None:
        self._store("set_bucket_tags").tags[bucket] = tags

    def get_bucket_tags(self, bucket: str) -> Tags | None:
        return self._store("get_bucket_tags").tags.get(bucket)

    def list_objects(self, bucket: str, prefix: str = "", **_more: object) -> list[SimpleNamespace]:
        keys = self._store("list_objects").buckets[bucket]
        return [SimpleNamespace(object_name=key, version_id=None) for key in sorted(keys) if key.startswith(prefix)]

    def put_object(self, bucket: str, key: str, data: io.BytesIO, _size: int, metadata: dict[str, str]) -> None:
        self._store("put_object").buckets[bucket][key] = (data.read(), metadata)

    @contextmanager
    def get_object(self, bucket: str, key: str) -> Iterator[io.BytesIO]:
        found = self._store("get_object").buckets[bucket]
        if key not in found:
            raise OSError("NoSuchKey: the object does not exist")
        yield io.BytesIO(found[key][0])

    def stat_object(self, bucket: str, key: str) -> SimpleNamespace:
        metadata = self._store("stat_object").buckets[bucket][key][1]
        return SimpleNamespace(metadata={f"x-amz-meta-{name}": value for name, value in metadata.items()})

    def remove_object(self, bucket: str, key: str, version_id: object = None) -> None:
        del version_id
        del self._store("remove_object").buckets[bucket][key]
