"""S3 client: `Minio` with streaming multipart uploads that are aborted cleanly."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, cast
from xml.etree import ElementTree as ET

from minio import Minio
from minio.datatypes import Object, Part, parse_list_objects
from minio.error import MinioException, S3Error
from minio.time import from_iso8601utc
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from harness.core.errors import HarnessError
from harness.repository.format.seal import Read, reader_of
from harness.repository.store.http.connections import OddAnswer
from harness.repository.store.http.listing import Been, Listing
from harness.repository.store.port import StoredObject

PART = 16 << 20
REFUSED = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.CONFLICT)
IN_FLIGHT = 2  # parts of one object at a time: a store that answers late does not stop the stream
MOST_PARTS = 10_000
TYPE = {"Content-Type": "application/octet-stream"}


@contextmanager
def understood() -> Iterator[None]:
    """Convert what the client raises for an answer that it cannot read into OddAnswer."""
    try:
        yield
    except HTTPError:  # some are ValueErrors as well
        raise
    except (ValueError, ET.ParseError) as error:
        raise OddAnswer(f"its answer is not that of an S3 store ({' '.join(str(error).split())[:80]})") from None


Query = dict[str, str | list[str] | tuple[str]]


def _fill(part: bytearray, read: Read) -> int:
    """Fill `part` from its start; return the number of bytes, less than its length only at the end of the data."""
    ready = 0
    while ready < len(part) and (piece := read(len(part) - ready)):
        part[ready : ready + len(piece)] = piece
        ready += len(piece)
    return ready


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A multipart upload that was begun, at a time of the store's clock; None where the store does not say it."""

    key: str
    upload: str
    begun: datetime | None


class Client(Minio):
    """`Minio` with an upload that, unlike `put_object`, copies no parts and leaves none behind after a failure.

    `object_headers`: of each new object.
    """

    object_headers: Mapping[str, str] = {}

    def _execute(self, *words: Any, **more: Any) -> BaseHTTPResponse:
        with understood():
            return super()._execute(*words, **more)

    def versions(self, bucket: str, prefix: str) -> Iterator[Object]:
        """Yield every version and delete marker of the objects whose key starts with `prefix`.

        Raises NotAListingError for a listing that comes back to where it was.
        """
        query: Query = {"delimiter": "", "encoding-type": "url", "max-keys": "1000", "prefix": prefix, "versions": ""}
        been, markers = Been(), dict[str, str]()
        while True:
            answer = self._execute("GET", bucket, query_params=query | markers)
            with understood():
                found, more, after, version = parse_list_objects(answer)
            # A store that does not know the prefix lists what is not ours, and what is listed may be removed.
            yield from (one for one in found if (one.object_name or "").startswith(prefix))
            if not more:
                return
            markers = been.after({"key-marker": after or "", "version-id-marker": version or ""})

    def upload(self, bucket: str, key: str, chunks: Iterable[bytes]) -> int:
        """Store a stream as one object, two parts in memory; return its size. A failed upload is aborted."""
        read = reader_of(chunks)
        part = bytearray(PART)  # allocated once, to avoid fragmentation of the heap
        ready = _fill(part, read)
        if ready < PART:
            self._put_object(bucket, key, bytes(part[:ready]), {**TYPE, **self.object_headers})
            return ready
        upload = self.begin(bucket, key)
        try:
            done, size = self._parts(bucket, key, upload, part, read)
            self._complete(bucket, key, upload, done, size)
        except BaseException:
            with suppress(MinioException, HTTPError):
                self.cancel(bucket, key, upload)
            raise
        return size

    def begin(self, bucket: str, key: str) -> str:
        """Begin a multipart upload of an object and return its identifier."""
        with understood():
            return self._create_multipart_upload(bucket, key, {**TYPE, **self.object_headers})

    def cancel(self, bucket: str, key: str, upload: str) -> None:
        """Abort a multipart upload."""
        self._abort_multipart_upload(bucket, key, upload)

    def put_new(self, bucket: str, key: str) -> bool:
        """Store an object unless there is one; return whether it was stored. A store may not know the condition."""
        try:
            self._put_object(bucket, key, b"conditional", {**TYPE, "If-None-Match": "*"})
        except S3Error as error:
            if error.response.status in REFUSED:
                return False
            raise
        return True

    def _complete(self, bucket: str, key: str, upload: str, done: list[Part], size: int) -> None:
        try:
            with understood():
                self._complete_multipart_upload(bucket, key, upload, done)
        except S3Error as error:
            # Repeated after an answer that was lost: the store had done it by then.
            if error.code != "NoSuchUpload" or self.stat_object(bucket, key).size != size:
                raise

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

    def abandon(self, bucket: str, prefix: str, begun_before: datetime | None = None) -> int:
        """Abort the unfinished uploads whose key starts with `prefix`; return how many there were.

        `begun_before`: only those, by the store's clock; None: every one.
        """
        count = 0
        for one in self.unfinished(bucket, prefix):
            if begun_before is None or (one.begun is not None and one.begun <= begun_before):
                try:
                    self.cancel(bucket, one.key, one.upload)
                except S3Error as error:
                    if error.code != "NoSuchUpload":  # it has ended meanwhile, or the store lists what it does not have
                        raise
                else:
                    count += 1
        return count

    def objects(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects whose key starts with `prefix`, in the order of the store, 1,000 of a request."""
        query: Query = {"list-type": "2", "delimiter": "", "encoding-type": "url", "max-keys": "1000", "prefix": prefix}
        been, token = Been(), dict[str, str]()
        while True:
            found = Listing.of(self._execute("GET", bucket, query_params=query | token))
            yield from (one for one in found.objects() if one.key.startswith(prefix))
            if not found.goes_on:
                return
            token = been.after({"continuation-token": found.said("NextContinuationToken")})

    def unfinished(self, bucket: str, prefix: str) -> tuple[Unfinished, ...]:
        """Return the unfinished multipart uploads whose key starts with `prefix`.

        Raises NotAListingError for a listing that does not go on, or comes back to where it was.
        """
        found: list[Unfinished] = []
        query: Query = {"uploads": "", "prefix": prefix, "encoding-type": "url"}
        been, markers = Been(), dict[str, str]()
        while True:
            listed = Listing.of(self._execute("GET", bucket, query_params=query | markers))
            for upload in listed.root.iter(f"{listed.space}Upload"):
                fields = (upload.findtext(listed.space + one, "") for one in ("Key", "UploadId", "Initiated"))
                key, name, begun = fields
                key = listed.key(key)
                if key.startswith(prefix):
                    with understood():
                        found.append(Unfinished(key, name, from_iso8601utc(begun) if begun else None))
            if not listed.goes_on:
                return tuple(found)
            key, upload_id = listed.key(listed.said("NextKeyMarker")), listed.said("NextUploadIdMarker")
            markers = been.after({"key-marker": key, "upload-id-marker": upload_id})
