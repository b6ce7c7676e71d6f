"""S3 client: `Minio` with streaming multipart uploads that are aborted cleanly, and timeouts for silence only."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
IN_FLIGHT = 2  # parts of one object at a time: a store that answers late does not stop the stream
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
        """Store a stream as one object, two parts in memory; return its size. A failed upload is aborted."""
        read = reader_of(chunks)
        part = bytearray(PART)  # allocated once, to avoid fragmentation of the heap
        ready = _fill(part, read)
        if ready < PART:
            self._put_object(bucket, key, bytes(part[:ready]), dict(TYPE))
            return ready
        upload = self._create_multipart_upload(bucket, key, dict(TYPE))
        try:
            done, size = self._parts(bucket, key, upload, part, read)
            self._complete_multipart_upload(bucket, key, upload, done)
        except BaseException:
            with suppress(MinioException, HTTPError):
                self._abort_multipart_upload(bucket, key, upload)
            raise
        return size

    def _parts(self, bucket: str, key: str, upload: str, first: bytearray, read: Read) -> tuple[list[Part], int]:
        """Store all parts, the full `first` and the rest, `IN_FLIGHT` at a time; return them and their bytes."""
        done: list[Part] = []
        size, ready, part = 0, PART, first
        under_way: deque[tuple[Future[Part], bytearray]] = deque()
        with ThreadPoolExecutor(IN_FLIGHT) as pool:  # at the end, also after an error, no part is under way
            while ready:
                number = len(done) + len(under_way) + 1
                block = memoryview(part)[:ready]
                under_way.append((pool.submit(self._part, bucket, key, upload, number, block), part))
                size += ready
                if len(under_way) < IN_FLIGHT:
                    part = bytearray(PART)
                else:
                    oldest, part = under_way.popleft()
                    done.append(oldest.result())
                ready = _fill(part, read)
            done += [one.result() for one, _ in under_way]
        return done, size

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
