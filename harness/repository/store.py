"""Where a repository lies: a small port, S3 by the `minio` package, and the same in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Protocol

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError

PART = 16 << 20  # bytes; S3 takes 10,000 parts: 160 GB an object
READ = 1 << 20
TIMEOUT = urllib3.Timeout(connect=3, read=30)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a store: bytes, and UTC of its last change."""

    key: str
    size: int
    modified: datetime


class ObjectStore(Protocol):
    """A bucket. Every method raises HarnessError, in one line that names the bucket and the key."""

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store a stream and return its bytes; a failure leaves nothing under the key."""
        ...

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield the object, or `length` bytes from `offset`."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object under a prefix, in the order of keys."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; what is not there is left alone."""
        ...


class _Reader(io.RawIOBase):
    """Chunks as a readable file that counts."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._rest, self.count = iter(chunks), memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        pieces, wanted = [], size
        while wanted:
            if not self._rest:
                piece = next(self._chunks, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
            taken = self._rest if wanted < 0 else self._rest[:wanted]
            pieces.append(bytes(taken))
            self._rest = self._rest[len(taken) :]
            wanted -= len(taken) if wanted > 0 else 0
        data = b"".join(pieces)
        self.count += len(data)
        return data


@dataclass(frozen=True, slots=True)
class S3Store:
    """A bucket of an S3 store."""

    client: Minio
    bucket: str
    where: str

    @classmethod
    def connect(cls, host: str, port: int, access: str, secret: str, bucket: str, *, secure: bool = False) -> S3Store:
        """Return the store; nothing is asked of it yet."""
        pool = urllib3.PoolManager(timeout=TIMEOUT, maxsize=16, retries=urllib3.Retry(total=2, backoff_factor=0.2))
        client = Minio(
            f"{host}:{port}", access_key=access, secret_key=secret, secure=secure, region="us-east-1", http_client=pool
        )
        return cls(client, bucket, f"{host}:{port}/{bucket}")

    def _explain(self, key: str, error: Exception) -> HarnessError:
        said = f"{error.code}: {error.message}" if isinstance(error, S3Error) else str(error)
        return HarnessError(f"object store {self.where}: {key}: {' '.join(said.split())[:300]}")

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store a stream, in parts of 16 MiB; a failed upload is aborted. Returns its bytes."""
        reader = _Reader(chunks)
        try:
            self.client.put_object(self.bucket, key, reader, -1, part_size=PART, num_parallel_uploads=2)  # type: ignore[arg-type]
        except (MinioException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise self._explain(key, error) from error
        return reader.count

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield the object, or `length` bytes from `offset`, in pieces of 1 MiB at most."""
        try:
            response = self.client.get_object(self.bucket, key, offset=offset, length=length)
            try:
                yield from response.stream(READ)
            finally:
                response.close()
                response.release_conn()
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._explain(key, error) from error

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object under a prefix."""
        try:
            for entry in self.client.list_objects(self.bucket, prefix=prefix, recursive=True):
                if not entry.is_dir and entry.object_name is not None:
                    modified = entry.last_modified or SYSTEM.wall()
                    yield StoredObject(entry.object_name, entry.size or 0, modified)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._explain(prefix, error) from error

    def delete(self, key: str) -> None:
        """Remove an object."""
        try:
            self.client.remove_object(self.bucket, key)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._explain(key, error) from error


@dataclass(slots=True)
class MemoryStore:
    """The same in memory, for pure logic; it passes the same conformance suite."""

    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store a stream whole, or not at all."""
        data = b"".join(chunks)
        with self._lock:
            self.objects[key] = (data, SYSTEM.wall())
        return len(data)

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield the object, or a part of it."""
        if key not in self.objects:
            raise HarnessError(f"object store memory: {key}: NoSuchKey")
        data = self.objects[key][0][offset : offset + length if length else None]
        for start in range(0, len(data), READ):
            yield data[start : start + READ]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object under a prefix."""
        for key in sorted(k for k in self.objects if k.startswith(prefix)):
            data, modified = self.objects[key]
            yield StoredObject(key, len(data), modified)

    def delete(self, key: str) -> None:
        """Remove an object."""
        with self._lock:
            self.objects.pop(key, None)
