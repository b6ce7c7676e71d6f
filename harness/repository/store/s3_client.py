"""The S3 client: `minio`'s, with streaming uploads that end cleanly and time limits that count silence only.

Source of the calls: Amazon S3 API reference, CreateMultipartUpload to ListMultipartUploads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, cast
from xml.etree import ElementTree as ET

from minio import Minio
from minio.datatypes import Part
from minio.error import MinioException
from urllib3 import PoolManager, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from harness.core.errors import HarnessError
from harness.patience import PATIENCE
from harness.repository.format.seal import Read, reader_of

PART = 16 << 20
MOST_PARTS = 10_000
SEND = 1 << 18
POOL = 16
TYPE = {"Content-Type": "application/octet-stream"}


class _Plain(HTTPConnection):
    """Sends a body in pieces: a socket's time limit covers one call, and 16 MiB in one would forbid slow lines."""

    def send(self, data: Any) -> None:
        for piece in _pieces(data):
            super().send(piece)


class _Secure(HTTPSConnection):
    """As `_Plain`, over TLS."""

    def send(self, data: Any) -> None:
        for piece in _pieces(data):
            super().send(piece)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


def _pieces(data: Any) -> Iterator[Any]:
    if not isinstance(data, bytes | memoryview) or len(data) <= SEND:
        yield data
        return
    view = memoryview(data)
    for start in range(0, len(view), SEND):
        yield view[start : start + SEND]


def _fill(part: bytearray, read: Read) -> int:
    """Fill `part` from its beginning; return how much there was, less than all only at the end."""
    ready = 0
    while ready < len(part) and (piece := read(len(part) - ready)):
        part[ready : ready + len(piece)] = piece
        ready += len(piece)
    return ready


def connections(certificates: str | None) -> PoolManager:
    """Return the pool of connections: a store that is dead or silent is given up within 10 seconds.

    A server error is tried twice more, a silence is not. `certificates`: a file of trusted roots.
    """
    retry = Retry(
        total=3,
        connect=1,
        read=0,
        status=2,
        other=0,
        backoff_factor=0.2,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=None,
        raise_on_status=False,  # the answer says more than "too many errors"
    )
    pool = PoolManager(
        maxsize=POOL,
        timeout=Timeout(connect=PATIENCE.store_connect, read=PATIENCE.store_silence),
        retries=retry,
        cert_reqs="CERT_REQUIRED",
        ca_certs=certificates,
    )
    pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
    return pool


class Client(Minio):
    """`Minio`, whose `put_object` would copy parts, read on after a failure, and leave parts behind on Ctrl-C."""

    def upload(self, bucket: str, key: str, chunks: Iterable[bytes]) -> int:
        """Store one object from a stream of unknown length and return its size in bytes.

        One part is in memory at a time. Whatever is raised, no object and no part is left behind that can be removed.
        """
        read = reader_of(chunks)
        part = bytearray(PART)  # the one buffer of this upload: made once, so that the heap is not torn by growing it
        size = ready = _fill(part, read)
        if ready < PART:
            self._put_object(bucket, key, bytes(part[:ready]), dict(TYPE))
            return ready
        upload = self._create_multipart_upload(bucket, key, dict(TYPE))
        try:
            done: list[Part] = []
            while ready:
                done.append(self._part(bucket, key, upload, len(done) + 1, memoryview(part)[:ready]))
                ready = _fill(part, read)
                size += ready
            self._complete_multipart_upload(bucket, key, upload, done)
        except BaseException:
            with suppress(MinioException, HTTPError):
                self._abort_multipart_upload(bucket, key, upload)
            raise
        return size

    def _part(self, bucket: str, key: str, upload: str, number: int, block: memoryview) -> Part:
        if number > MOST_PARTS:
            raise HarnessError(f"{key}: larger than {MOST_PARTS} parts of {PART >> 20} MiB; split it")
        try:
            # Declared as bytes; what is done with it is hashing and sending, which take any buffer.
            etag = self._upload_part(bucket, key, cast("bytes", block), None, upload, number)
        finally:
            block.release()
        return Part(number, etag)

    def abandon(self, bucket: str, prefix: str) -> int:
        """End every unfinished upload whose key begins with `prefix`; return how many there were."""
        answer = self._execute("GET", bucket, query_params={"uploads": "", "prefix": prefix})
        root = ET.fromstring(answer.data)  # noqa: S314 - our own store's answer; expat expands no external entity
        space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        found = [
            (upload.findtext(f"{space}Key", ""), upload.findtext(f"{space}UploadId", ""))
            for upload in root.iter(f"{space}Upload")
        ]
        ours = [(key, upload) for key, upload in found if key.startswith(prefix)]
        for key, upload in ours:
            self._abort_multipart_upload(bucket, key, upload)
        return len(ours)
