"""An S3 bucket as an object store."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Self

import certifi
from minio.commonconfig import COMPLIANCE
from minio.error import MinioException, S3Error
from minio.retention import Retention
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, ReadTimeoutError

from harness.core.clock import SYSTEM
from harness.core.errors import Denied, HarnessError, Lost, Unreadable
from harness.core.node import Address
from harness.core.service import REGION
from harness.repository.store.http.connections import StorePatience, connections, patience_of
from harness.repository.store.http.explain import explained, of_damage, of_one_object
from harness.repository.store.http.reading import CHUNK, Reading, at_most, beyond
from harness.repository.store.pace import Pace
from harness.repository.store.port import StoredObject, StoredVersion
from harness.repository.store.s3_client import Client, understood

ABSENT = ("NoSuchKey", "NoSuchVersion", "InvalidRange")
# Bytes that a second reading of an object begins before: more than a store reads from its disk at once.
AGAIN = 64 << 20
UNLOCKED = ("ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed", "InvalidBucketState")
NOT_LISTED = "not listed below a folder: let a rule of the bucket abort them"
NOT_SUPPORTED = (405, 501)  # statuses of stores without object lock


@dataclass(frozen=True, slots=True)
class S3Store:
    """A bucket of an S3 store, or what is below `prefix` in it. Safe to use from several threads."""

    endpoint: str
    bucket: str
    _client: Client = field(repr=False)
    prefix: str = ""  # with its slash
    patience: StorePatience = field(default_factory=patience_of)
    download: Pace | None = None

    @classmethod
    def connect(
        cls,
        host: str,
        port: int,
        access: str,
        secret: str,
        bucket: str,
        secure: bool = False,
        region: str = REGION,
        ca: str = "",
        path_style: bool | None = None,
        prefix: str = "",
        patience: StorePatience | None = None,
        headers: Mapping[str, str] | None = None,
        upload: Pace | None = None,
        download: Pace | None = None,
    ) -> Self:
        """Return the bucket there, without a request. `ca`: file of trusted certificates, by default $SSL_CERT_FILE.

        `path_style`: whether the bucket is in the path and not in the host name; None as the host name suggests.
        `patience`: that of production by default; `headers`: of each new object (storage class, encryption).
        """
        endpoint = str(Address(host, port))
        waits = patience or patience_of()
        roots = ca or os.environ.get("SSL_CERT_FILE") or certifi.where()
        client = Client(
            endpoint,
            access_key=access,
            secret_key=secret,
            secure=secure,
            region=region,
            http_client=connections(roots if secure else None, waits, upload),
        )
        if path_style is not None:
            (client.disable_virtual_style_endpoint if path_style else client.enable_virtual_style_endpoint)()  # type: ignore[no-untyped-call]
        client.object_headers = dict(headers or {})
        return cls(endpoint, bucket, client, f"{prefix}/" if prefix else "", waits, download)

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store one object from a stream, in parts of 16 MiB, and return its size in bytes."""
        with self._explained(key, "cannot be stored"):
            return self._client.upload(self.bucket, self.prefix + key, chunks)

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes; raises Unreadable for one that does not exist, ends before `offset`, or is refused.

        What is cut off is asked for again from there on. Raises Lost for what fails still after the store listed it.
        """
        reading = Reading(partial(self._asked, key, offset), length, self.patience.repeats, self.download)
        with self._explained(key, "cannot be read", refusal):
            try:
                yield from reading.chunks()
            except (MinioException, HTTPError) as error:
                if not of_damage(error) or not self._lists(key):
                    raise
            else:
                return
        # What failed until now may have been the whole store, which was back when it listed the object: once more, from
        # bytes on that came before, as a store that sends none may hang.
        begin = max(0, reading.done - AGAIN)
        again = replace(reading, done=begin, exact=True)
        with self._explained(key, "cannot be read", lambda error: loss(error, again.done - begin)):
            yield from beyond(again.chunks(), reading.done - begin)

    def _asked(self, key: str, offset: int, done: int, length: int, headers: dict[str, str]) -> BaseHTTPResponse:
        return self._client.get_object(self.bucket, self.prefix + key, offset + done, length, headers)  # type: ignore[arg-type]

    def _lists(self, key: str) -> bool:
        whole = self.prefix + key
        try:
            return any(one.key == whole for one in self._client.objects(self.bucket, whole))
        except (MinioException, HTTPError):
            return False

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below `prefix`, sorted by key."""
        with self._explained(prefix, "cannot be listed"):
            for one in self._client.objects(self.bucket, self.prefix + prefix):
                yield replace(one, key=one.key.removeprefix(self.prefix)) if self.prefix else one

    def delete(self, key: str) -> None:
        """Delete one object."""
        with self._explained(key, "cannot be deleted"):
            self._client.remove_object(self.bucket, self.prefix + key)

    def expunge(self, key: str) -> None:
        """Delete an object and, where the bucket keeps them, all its older versions; raises HarnessError."""
        with self._explained(key, "cannot be deleted with its versions"):
            if not self._keeps_versions():
                self._client.remove_object(self.bucket, self.prefix + key)
                return
            found = self._client.versions(self.bucket, self.prefix + key)
            for entry in list(found):
                if entry.object_name == self.prefix + key:
                    self._client.remove_object(self.bucket, self.prefix + key, version_id=entry.version_id)

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """Yield every version below `prefix`; nothing of a store without versions."""
        with self._explained(prefix, "its versions cannot be listed"):
            found = self._client.versions(self.bucket, self.prefix + prefix)
            try:
                for entry in found:
                    yield StoredVersion(
                        str(entry.object_name).removeprefix(self.prefix),
                        entry.version_id or "null",
                        entry.etag or "",
                        entry.size or 0,
                        entry.is_delete_marker,
                        entry.is_latest == "true",
                    )
            except S3Error as error:
                if error.response.status not in NOT_SUPPORTED:
                    raise

    def get_version(self, key: str, version: str, length: int) -> bytes:
        """Return at most `length` bytes of a version; raises Unreadable when it does not exist."""
        with self._explained(key, f"its version {version} cannot be read"):
            answer = self._client.get_object(self.bucket, self.prefix + key, 0, length, version_id=version)
            try:
                return b"".join(at_most(answer.stream(CHUNK), length))
            finally:
                answer.close()

    def _keeps_versions(self) -> bool:
        try:
            with understood():
                return self._client.get_bucket_versioning(self.bucket).status is not None
        except S3Error as error:
            if error.response.status in NOT_SUPPORTED:
                return False
            raise

    def abilities(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield whether versions are kept, and whether a conditional put keeps an object from being replaced."""
        with self._explained(prefix, "cannot be asked for versions"):
            yield "versions", "yes" if self._keeps_versions() else "no"
        key = f"{prefix}conditional"
        with self._explained(key, "cannot be stored"):
            done = [self._client.put_new(self.bucket, self.prefix + key) for _ in range(2)]
        yield "conditional put", "yes" if done == [True, False] else "no"
        yield "unfinished uploads", "listed" if self._lists_uploads(prefix) else NOT_LISTED

    def _lists_uploads(self, prefix: str) -> bool:
        # Some stores list those of one key only, and answer a question for a folder with an empty list.
        key = f"{prefix}unfinished/upload"
        with self._explained(key, "cannot be uploaded in parts"):
            upload = self._client.begin(self.bucket, self.prefix + key)
        try:
            if self.abandon(f"{prefix}unfinished/"):
                return True
        except HarnessError:
            pass
        with self._explained(key, "an unfinished upload cannot be aborted"):
            self._client.cancel(self.bucket, self.prefix + key, upload)
        return False

    @property
    def locks(self) -> bool:
        """Whether the bucket was made with object lock."""
        with self._explained("", "cannot be asked for object lock"):
            try:
                with understood():
                    self._client.get_object_lock_config(self.bucket)
            except S3Error as error:
                if error.code in UNLOCKED or error.response.status in NOT_SUPPORTED:
                    return False
                raise
        return True

    def lock(self, key: str, until: datetime) -> None:
        """Keep the newest version of an object until then, in mode COMPLIANCE: no key deletes it before."""
        with self._explained(key, "cannot be locked"):
            self._client.set_object_retention(self.bucket, self.prefix + key, Retention(COMPLIANCE, until))

    def abandon(self, prefix: str) -> int:
        """Abort the unfinished uploads below `prefix` and return how many there were."""
        with self._explained(prefix, "unfinished uploads cannot be aborted"):
            return self._client.abandon(self.bucket, self.prefix + prefix)

    def sweep(self, prefix: str, older_than: float) -> int:
        """Abort the uploads below `prefix` that were begun that many seconds ago by the store; return how many."""
        with self._explained(prefix, "unfinished uploads cannot be aborted"):
            limit = SYSTEM.wall() - timedelta(seconds=older_than)
            return self._client.abandon(self.bucket, self.prefix + prefix, limit)

    @contextmanager
    def _explained(
        self, key: str, what: str, kind: Callable[[Exception], type[HarnessError]] = lambda error: HarnessError
    ) -> Iterator[None]:
        """Convert an exception of the client into one line with place, operation and reason.

        `kind`: which error it is, of one that does not say that the object is absent.
        """
        place = f"store {self.endpoint}, bucket {self.bucket}, {self.prefix + key or 'all keys'}"
        try:
            yield
        except (MinioException, HTTPError) as error:
            if isinstance(error, S3Error) and error.code in ABSENT:
                raise Unreadable(f"{place}: does not exist ({error.code})") from None
            raise kind(error)(f"{place}: {what}: {explained(error, self.patience)}") from None


def refusal(error: Exception) -> type[HarnessError]:
    """Return the kind of an error of a read: a refusal of one object costs no other."""
    return Denied if isinstance(error, S3Error) and of_one_object(error) else HarnessError


def loss(error: Exception, done: int) -> type[HarnessError]:
    """Return the kind of an error of a read that failed before in a store that is well; `done`: bytes that came."""
    silent = isinstance(error, ReadTimeoutError) and not done
    return Lost if of_damage(error) and not silent else refusal(error)
