"""Objects of a bucket, streamed in both directions, with what a client sees of them: headers, user metadata, tags.

Not kept: ACLs, storage class, encryption, object lock, website redirects, and versions other than the newest.
"""

import errno
import itertools
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from minio import Minio
from minio.datatypes import Part
from minio.error import MinioException, S3Error
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from harness.core.errors import HarnessError
from harness.core.node import Readable
from harness.core.service import S3
from harness.s3.client import asked, client, said

KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires")
META, TAGGING, TAGS = "x-amz-meta-", "x-amz-tagging", "x-amz-tagging-count"
RESTORED = "blackstart-restored"  # metadata key of a restored object: the backup that it came from
PART = 8 << 20  # bytes of one part of a large object; the memory that an upload takes
MOST_PARTS = 10_000
ATTEMPTS = 3  # of reading one object, each from where the one before was cut off
ABSENT = ("NoSuchKey", "NoSuchVersion", "NoSuchObject")
SERVER_FAULT = 500
# Answers about one object: its key, its size, its headers or its tags.
OF_ONE = (
    "KeyTooLongError", "EntityTooLarge", "EntityTooSmall", "MetadataTooLarge", "InvalidTag", "InvalidArgument",
    "InvalidStorageClass", "InvalidURI",
)  # fmt: skip


class _Utf8(str):
    """The value of a header that is sent as UTF-8, as it is signed; `http.client` sends Latin-1."""

    __slots__ = ()

    def encode(self, _encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("utf-8", errors)


def _as_utf8(value: str) -> str:
    """Return the value of a received header as it was meant; `http.client` reads Latin-1."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


@dataclass(slots=True)
class Stored:
    """An object that is open for reading. `headers`: what is kept, names in lower case, `x-amz-meta-` included."""

    size: int
    headers: Mapping[str, str]
    tags: Mapping[str, str]
    restored: str  # the backup that it was restored from, "" for none
    version: str  # "" in a bucket without versions
    _bucket: "Bucket" = field(repr=False)
    _key: str = field(repr=False)
    etag: str = field(repr=False)
    _answer: BaseHTTPResponse = field(repr=False)
    _done: int = 0

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, b"" at the end. Raises OSError when it is cut off, or replaced meanwhile."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                # Not decoded: an object with Content-Encoding gzip is kept as it is.
                data = self._answer.read(size, decode_content=False)
            except (HTTPError, OSError) as error:
                if attempt == ATTEMPTS:
                    raise OSError(errno.EIO, f"cut off after {self._done} bytes ({said(error)})") from None
                self._reopen()
                continue
            self._done += len(data)
            return data
        return b""

    def _reopen(self) -> None:
        self._answer.close()
        found = self._bucket.ask(self._key, self._done, self.etag)
        self._answer = found

    def close(self) -> None:
        """Close the connection, unread bytes and all; a connection without any is used again."""
        if self._done == self.size:
            self._answer.drain_conn()
            self._answer.release_conn()
        else:
            self._answer.close()


@dataclass(slots=True)
class Bucket:
    """One bucket of a store. Safe to use from several threads."""

    s3: S3
    name: str
    _store: Minio = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._store = client(self.s3)

    def exists(self) -> bool:
        """Return whether the store has it; raises HarnessError."""
        with asked(self.s3, self.name, "cannot be reached"):
            return self._store.bucket_exists(self.name)

    def keys(self) -> Iterator[str]:
        """Yield every key as the store lists it; raises HarnessError."""
        with asked(self.s3, self.name, "cannot be listed"):
            for entry in self._store.list_objects(self.name, recursive=True):
                if entry.object_name is not None:
                    yield entry.object_name

    @contextmanager
    def open(self, key: str) -> Iterator[Stored]:
        """Yield an object. Raises FileNotFoundError, OSError when the store refuses it, HarnessError without answer."""
        answer = self.ask(key)
        found = None
        try:
            found = self._stored(key, answer)
            yield found
        finally:
            if found is None:
                answer.close()
            else:
                found.close()

    def ask(self, key: str, offset: int = 0, etag: str = "") -> BaseHTTPResponse:
        """Return the answer to a GET, its body unread; `etag`: what the object must still have. Raises as `open`."""
        headers: dict[str, str | list[str] | tuple[str]] = {"If-Match": f'"{etag}"'} if etag else {}
        with self._refusals():
            return self._store.get_object(self.name, key, offset, request_headers=headers)

    def has(self, key: str) -> bool:
        """Return whether it has an object of that key, False also for a key that it refuses; raises HarnessError."""
        try:
            with self._refusals():
                self._store.stat_object(self.name, key)
        except OSError:
            return False
        return True

    def put_back(self, backup_id: str) -> tuple[str, ...]:
        """Remove what a restore wrote over other objects, so that those are the newest versions again; return the keys.

        `backup_id`: of the restored backup. Raises HarnessError.
        """
        put_back = []
        with asked(self.s3, self.name, "earlier versions cannot be put back"):
            listed = self._store.list_objects(self.name, recursive=True, include_version=True)
            for key, versions in itertools.groupby(listed, lambda entry: str(entry.object_name)):
                newest, *older = versions
                if not older or older[0].is_delete_marker or newest.is_delete_marker:
                    continue
                try:
                    found = self._store.stat_object(self.name, key).metadata or {}
                except ValueError:  # a key that the client refuses: no restore wrote it
                    continue
                if found.get(META + RESTORED) == backup_id:
                    self._store.remove_object(self.name, key, version_id=newest.version_id)
                    put_back.append(key)
        return tuple(put_back)

    def _stored(self, key: str, answer: BaseHTTPResponse) -> Stored:
        headers = {name.lower(): _as_utf8(value) for name, value in answer.headers.items()}
        kept = {name: value for name, value in headers.items() if name in KEPT or name.startswith(META)}
        restored = kept.pop(META + RESTORED, "")
        return Stored(
            int(headers.get("content-length", "0")),
            kept,
            self._tags(key) if int(headers.get(TAGS, "0")) else {},
            restored,
            headers.get("x-amz-version-id", ""),
            self,
            key,
            headers.get("etag", "").strip('"'),
            answer,
        )

    def _tags(self, key: str) -> Mapping[str, str]:
        # Read by hand: the client refuses tags that stores accept.
        with self._refusals():
            answer = self._store._execute("GET", self.name, key, query_params={"tagging": ""})  # noqa: SLF001
        root = ET.fromstring(answer.data)  # noqa: S314 - expat expands no external entities
        space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        return {tag.findtext(f"{space}Key", ""): tag.findtext(f"{space}Value", "") for tag in root.iter(f"{space}Tag")}

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn the refusal of one object into an OSError, and a store that does not answer into a HarnessError.

        Its number is EINVAL where it is about that object, whoever asks.
        """
        try:
            yield
        except S3Error as error:
            if error.code in ABSENT:
                raise FileNotFoundError(errno.ENOENT, "no such object") from None
            if error.code == "NoSuchBucket" or error.response.status >= SERVER_FAULT:
                raise HarnessError(f"bucket {self.name} at {self.s3.outside}: {said(error)}") from error
            raise OSError(errno.EINVAL if error.code in OF_ONE else errno.EACCES, said(error)) from None
        except ValueError as error:  # the client refuses some keys before it asks
            raise OSError(errno.EINVAL, said(error)) from None
        except (MinioException, HTTPError, OSError) as error:
            raise HarnessError(f"bucket {self.name} at {self.s3.outside}: no answer: {said(error)}") from error

    def put(self, key: str, source: Readable, size: int, headers: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Store `size` bytes as one object, a large one in parts, of which one is in memory.

        Raises OSError when the store refuses the object, HarnessError without an answer.
        """
        # In the spelling that the client looks for: it would add a second Content-Type.
        sent = {
            "Content-Type": "application/octet-stream",
            **{name.title(): _Utf8(text) for name, text in headers.items()},
        }
        if tags:
            sent[TAGGING] = urllib.parse.urlencode(tags, quote_via=urllib.parse.quote)
        with self._refusals():
            if size <= PART:
                self._store._put_object(self.name, key, whole(source, size), dict(sent))  # noqa: SLF001
            else:
                self._put_parts(key, source, size, sent)

    def _put_parts(self, key: str, source: Readable, size: int, headers: dict[str, str]) -> None:
        store, part = self._store, max(PART, -(-size // MOST_PARTS))
        upload = store._create_multipart_upload(self.name, key, dict(headers))  # noqa: SLF001
        try:
            done: list[Part] = []
            for number, start in enumerate(range(0, size, part), 1):
                data = whole(source, min(part, size - start))
                done.append(Part(number, store._upload_part(self.name, key, data, None, upload, number)))  # noqa: SLF001
            store._complete_multipart_upload(self.name, key, upload, done)  # noqa: SLF001
        except BaseException:
            with suppress(MinioException, HTTPError):
                store._abort_multipart_upload(self.name, key, upload)  # noqa: SLF001
            raise


def whole(source: Readable, size: int) -> bytes:
    """Return exactly `size` bytes of a source; raises HarnessError when it ends before."""
    data = bytearray()
    while len(data) < size:
        piece = source.read(size - len(data))
        if not piece:
            raise HarnessError(f"{size - len(data)} bytes are missing at the end of a stream")
        data += piece
    return bytes(data)
