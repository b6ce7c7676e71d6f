"""An S3 bucket as an object store."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

import certifi
from minio.commonconfig import COMPLIANCE
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.retention import Retention
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as ReadTimeout

from harness.core.errors import HarnessError, Unreadable
from harness.core.node import Address
from harness.core.service import REGION
from harness.patience import PATIENCE
from harness.repository.store.port import StoredObject, StoredVersion
from harness.repository.store.s3_client import Client, connections

CHUNK = 1 << 20
DENIED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "AccountProblem")
ABSENT = ("NoSuchKey", "NoSuchVersion", "InvalidRange")
UNLOCKED = ("ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed", "InvalidBucketState")
NOT_SUPPORTED = (405, 501)  # statuses of stores without object lock
SERVER_FAULT = 500


@dataclass(frozen=True, slots=True)
class S3Store:
    """A bucket of an S3 store, or what is below `prefix` in it. Safe to use from several threads."""

    endpoint: str
    bucket: str
    _client: Client = field(repr=False)
    prefix: str = ""  # with its slash

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
    ) -> Self:
        """Return the bucket there, without a request. `ca`: file of trusted certificates, by default $SSL_CERT_FILE.

        `path_style`: whether the bucket is in the path and not in the host name; None as the host name suggests.
        """
        endpoint = str(Address(host, port))
        roots = ca or os.environ.get("SSL_CERT_FILE") or certifi.where()
        client = Client(
            endpoint,
            access_key=access,
            secret_key=secret,
            secure=secure,
            region=region,
            http_client=connections(roots if secure else None),
        )
        if path_style is not None:
            (client.disable_virtual_style_endpoint if path_style else client.enable_virtual_style_endpoint)()  # type: ignore[no-untyped-call]
        return cls(endpoint, bucket, client, f"{prefix}/" if prefix else "")

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store one object from a stream, in parts of 16 MiB, and return its size in bytes."""
        with self._explained(key, "cannot be stored"):
            return self._client.upload(self.bucket, self.prefix + key, chunks)

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes; raises Unreadable when it does not exist or ends before `offset`."""
        with self._explained(key, "cannot be read"):
            answer = self._client.get_object(self.bucket, self.prefix + key, offset, length)
            try:
                yield from answer.stream(CHUNK)
            finally:
                # Closed instead of released: unread bytes would break the next request on the connection.
                answer.close()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below `prefix`, sorted by key."""
        with self._explained(prefix, "cannot be listed"):
            for entry in self._client.list_objects(self.bucket, self.prefix + prefix, recursive=True):
                if entry.object_name is not None and entry.last_modified is not None and not entry.is_dir:
                    key = entry.object_name.removeprefix(self.prefix)
                    yield StoredObject(key, entry.size or 0, entry.last_modified, entry.etag or "")

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
            found = self._client.list_objects(self.bucket, self.prefix + key, recursive=True, include_version=True)
            for entry in list(found):
                if entry.object_name == self.prefix + key:
                    self._client.remove_object(self.bucket, self.prefix + key, version_id=entry.version_id)

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """Yield every version below `prefix`; nothing of a store without versions."""
        with self._explained(prefix, "its versions cannot be listed"):
            found = self._client.list_objects(self.bucket, self.prefix + prefix, recursive=True, include_version=True)
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
                return b"".join(answer.stream(CHUNK))
            finally:
                answer.close()

    def _keeps_versions(self) -> bool:
        try:
            return self._client.get_bucket_versioning(self.bucket).status is not None
        except S3Error as error:
            if error.response.status in NOT_SUPPORTED:
                return False
            raise

    @property
    def locks(self) -> bool:
        """Whether the bucket was made with object lock."""
        with self._explained("", "cannot be asked for object lock"):
            try:
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

    @contextmanager
    def _explained(self, key: str, what: str) -> Iterator[None]:
        """Convert an exception of the client into one line with place, operation and reason."""
        place = f"store {self.endpoint}, bucket {self.bucket}, {self.prefix + key or 'all keys'}"
        try:
            yield
        except S3Error as error:
            if error.code in ABSENT:
                raise Unreadable(f"{place}: does not exist ({error.code})") from None
            raise HarnessError(f"{place}: {what}: {_s3_error(error)}") from None
        except (ServerError, InvalidResponseError) as error:
            raise HarnessError(f"{place}: {what}: {_server_error(' '.join(str(error).split())[:120])}") from None
        except (MinioException, HTTPError) as error:
            raise HarnessError(f"{place}: {what}: {_no_answer(error)}") from None


def _s3_error(error: S3Error) -> str:
    if error.code == "NoSuchBucket":
        return "no such bucket; create it, or correct its name"
    if error.code in DENIED:
        return f"access denied ({error.code}); check the store's keys and this machine's clock"
    if error.response.status >= SERVER_FAULT:
        return _server_error(str(error.code))
    return f"refused ({error.code}: {error.message})"


def _server_error(detail: str) -> str:
    return f"no space left, or the store is failing ({detail}); check its log and its disk"


def _no_answer(error: Exception) -> str:
    reason = error.reason if isinstance(error, MaxRetryError) and error.reason is not None else error
    # First, because NewConnectionError is a subclass of urllib3's TimeoutError.
    if isinstance(reason, NewConnectionError):
        return "connection refused; is the store running, and is this its address?"
    if isinstance(reason, SSLError):
        return f"no trusted TLS connection ({' '.join(str(reason).split())}); check tls, the certificate and its ca"
    if isinstance(reason, ReadTimeout):
        return f"no answer within {PATIENCE.store_silence:g} s; the store hangs or is unreachable"
    return f"connection lost ({type(reason).__name__}); is the store still running?"
