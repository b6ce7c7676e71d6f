"""S3 client: `Minio` with streaming multipart uploads that are aborted cleanly, and timeouts for silence only."""

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
    """Sends a body in pieces: a socket timeout covers one call, and 16 MiB in one call would fail on slow lines."""

    def send(self, data: Any) -> None:
        for piece in _pieces(data):
            super().send(piece)


class _Secure(HTTPSConnection):
    """`_Plain` over TLS."""

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
    """Fill `part` from its start; return the number of bytes, less than its length only at the end of the data."""
    ready = 0
    while ready < len(part) and (piece := read(len(part) - ready)):
        part[ready : ready + len(piece)] = piece
        ready += len(piece)
    return ready


def connections(certificates: str | None) -> PoolManager:
    """Return a pool that gives up on a silent store within 10 s; only server errors are retried, twice."""
    retry = Retry(
        total=3,
        connect=1,
        read=0,
        status=2,
        other=0,
        backoff_factor=0.2,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=None,
        raise_on_status=False,  # the answer is more precise than urllib3's "too many errors"
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
    """`Minio` with an upload that, unlike `put_object`, copies no parts and leaves none behind after a failure."""

    def upload(self, bucket: str, key: str, chunks: Iterable[bytes]) -> int:
        """Store a stream as one object, one part in memory; return its size. A failed upload is aborted."""
        read = reader_of(chunks)
        part = bytearray(PART)  # allocated once, to avoid fragmentation of the heap
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
            # Minio declares bytes, but only hashes and sends it, which works with any buffer.
            etag = self._upload_part(bucket, key, cast("bytes", block), None, upload, number)
        finally:
            block.release()
        return Part(number, etag)

    def abandon(self, bucket: str, prefix: str) -> int:
        """Abort every unfinished upload whose key starts with `prefix`; return how many there were."""
        answer = self._execute("GET", bucket, query_params={"uploads": "", "prefix": prefix})
        root = ET.fromstring(answer.data)  # noqa: S314 - expat expands no external entities
        space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        found = [
            (upload.findtext(f"{space}Key", ""), upload.findtext(f"{space}UploadId", ""))
            for upload in root.iter(f"{space}Upload")
        ]
        ours = [(key, upload) for key, upload in found if key.startswith(prefix)]
        for key, upload in ours:
            self._abort_multipart_upload(bucket, key, upload)
        return len(ours)
