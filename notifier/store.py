"""Attachments in an S3 bucket."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from notifier.errors import Damaged, Unavailable
from notifier.message import Attachment
from notifier.settings import Settings

# Short, because a client is waiting for the answer.
TIMEOUT = urllib3.Timeout(connect=2.0, read=5.0)
CONNECTIONS = 16


class Store:
    """The bucket of attachments."""

    def __init__(self, settings: Settings) -> None:
        self._bucket = settings.s3_bucket
        self._client = Minio(
            settings.s3_endpoint,
            access_key=settings.s3_access,
            secret_key=settings.s3_secret,
            secure=False,
            region="us-east-1",
            http_client=urllib3.PoolManager(timeout=TIMEOUT, retries=urllib3.Retry(1), maxsize=CONNECTIONS),
        )

    def check(self) -> None:
        """Create the bucket if it is missing. Raises Unavailable when the store does not answer."""
        with answering():
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)

    def put(self, attachment: Attachment) -> None:
        """Store an attachment, and create the bucket if it is missing. Raises Unavailable."""
        with answering():
            try:
                self._put(attachment)
            except S3Error as error:
                if error.code != "NoSuchBucket":
                    raise
                self.check()
                self._put(attachment)

    def _put(self, attachment: Attachment) -> None:
        self._client.put_object(self._bucket, attachment.key, BytesIO(attachment.content), len(attachment.content))

    def get(self, key: str, sha256: str) -> bytes:
        """Return the content of `key`. Raises Damaged when it is missing or its SHA-256 differs, Unavailable."""
        with answering():
            try:
                with self._client.get_object(self._bucket, key) as response:
                    content = response.read()
            except S3Error as error:
                if error.code not in {"NoSuchKey", "NoSuchBucket"}:
                    raise
                raise Damaged(f"{self._bucket}/{key}: the object is missing") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Damaged(f"{self._bucket}/{key}: the object was altered (SHA-256 differs)")
        return content


@contextmanager
def answering() -> Iterator[None]:
    """Turn an error of the store into Unavailable, with the reason in a few words."""
    try:
        yield
    except S3Error as error:
        raise Unavailable("object store", f"{error.code}: {error.message}") from error
    except (MinioException, HTTPError) as error:
        raise Unavailable("object store", type(error).__name__) from error
