"""Object stores in memory, behind the client of minio: what calls them is real."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import urllib3
from minio.commonconfig import Tags
from minio.error import S3Error


@dataclass
class MemoryObjects:
    """The object store of one site. `refused`: the name of a call -> the reason why it fails."""

    buckets: dict[str, dict[str, tuple[bytes, dict[str, str]]]] = field(default_factory=dict)
    tags: dict[str, Tags] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class MemoryAnswer(io.BytesIO):
    """The answer to a GET."""

    def __init__(self, data: bytes, headers: dict[str, str]) -> None:
        super().__init__(data)
        self.headers = headers

    def read(self, size: int | None = -1, decode_content: bool = True) -> bytes:
        del decode_content
        return super().read(size)

    def drain_conn(self) -> None:
        pass

    def release_conn(self) -> None:
        pass


def no_such(key: str) -> S3Error:
    answer = urllib3.HTTPResponse(status=404)
    return S3Error(answer, "NoSuchKey", "the object does not exist", key, None, None)


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

    def delete_bucket_tags(self, bucket: str) -> None:
        del self._store("delete_bucket_tags").tags[bucket]

    def list_objects(self, bucket: str, prefix: str = "", **_more: object) -> list[SimpleNamespace]:
        keys = self._store("list_objects").buckets[bucket]
        return [SimpleNamespace(object_name=key, version_id=None) for key in sorted(keys) if key.startswith(prefix)]

    def put_object(
        self, bucket: str, key: str, data: io.BytesIO, _size: int, metadata: dict[str, str] | None = None
    ) -> None:
        headers = {f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()}
        self._put_object(bucket, key, data.read(), headers)

    def _put_object(self, bucket: str, key: str, data: bytes, headers: dict[str, str]) -> None:
        self._store("put_object").buckets[bucket][key] = (data, dict(headers))

    def get_object(self, bucket: str, key: str, offset: int = 0, **_more: object) -> MemoryAnswer:
        found = self._store("get_object").buckets[bucket]
        if key not in found:
            raise no_such(key)
        data, headers = found[key]
        return MemoryAnswer(data[offset:], {"content-length": str(len(data)), **headers})

    def stat_object(self, bucket: str, key: str) -> SimpleNamespace:
        found = self._store("stat_object").buckets[bucket]
        if key not in found:
            raise no_such(key)
        return SimpleNamespace(metadata=found[key][1])

    def remove_object(self, bucket: str, key: str, version_id: object = None) -> None:
        del version_id
        del self._store("remove_object").buckets[bucket][key]
