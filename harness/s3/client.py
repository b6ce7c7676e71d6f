"""S3 client for an object store, used from outside its site; buckets, and the tag that names their estate."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Tags
from minio.error import MinioException, S3Error
from minio.versioningconfig import VersioningConfig

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.service import S3
from harness.patience import PATIENCE
from harness.vault import read_store_keys

RETRIES = 2
ESTATE = "blackstart-estate"  # the key of the tag
IDENTITY_BUCKET = "blackstart-identity"  # an empty bucket with the tag, of an estate that declares no bucket
NO_TAGS = "NoSuchTagSet"
EXISTS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")

# All exceptions of a request to a store that is down, full or owned by others.
SILENT = (urllib3.exceptions.HTTPError, OSError)
# The last two: a key that the client refuses, an answer that is not XML.
ERRORS = (MinioException, *SILENT, ValueError, ParseError)


def roots(s3: S3) -> str | None:
    """Return the file of the certificates that are trusted, $SSL_CERT_FILE without a `ca`; None without TLS."""
    return (s3.ca or os.environ.get("SSL_CERT_FILE") or certifi.where()) if s3.tls else None


def client(s3: S3) -> Minio:
    """Return a client with short timeouts and few retries; it connects when it is first used."""
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=PATIENCE.s3_connect, read=PATIENCE.s3_read),
        maxsize=8,
        retries=urllib3.Retry(total=RETRIES, backoff_factor=0.1, status_forcelist=(502, 503, 504)),
        cert_reqs="CERT_REQUIRED",
        ca_certs=roots(s3),
    )
    access, secret = read_store_keys(s3.access_key_ref, s3.secret_key_ref)
    made = Minio(
        str(s3.outside),
        access_key=access,
        secret_key=secret,
        secure=s3.tls,
        region=s3.region,  # set, so that it is not asked for
        http_client=pool,
    )
    if s3.path_style is not None:
        (made.disable_virtual_style_endpoint if s3.path_style else made.enable_virtual_style_endpoint)()  # type: ignore[no-untyped-call]
    return made


def said(error: Exception) -> str:
    """Return the reason why a request to a store failed, in one line."""
    if isinstance(error, S3Error):
        return f"{error.code}: {error.message}"
    if isinstance(error, ValueError) and not str(error):
        return "a key of white space alone, which the client does not ask for; rename the object"
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__


@contextmanager
def asked(s3: S3, bucket: str, outcome: str, as_: type[HarnessError | RestoreFailed] = HarnessError) -> Iterator[None]:
    """Raise `as_` for a store's error: one line with bucket, address, `outcome` and reason."""
    try:
        yield
    except ERRORS as error:
        raise as_(f"bucket {bucket} at {s3.outside}: {outcome}: {said(error)}") from error


def await_store(s3: S3, where: str, patience: float = PATIENCE.s3_answers) -> None:
    """Return once the store answers. Raises TookTooLong with the reason, HarnessError when it refuses the keys."""
    store = client(s3)
    with asked(s3, "*", "buckets cannot be listed"):
        wait_until(store.list_buckets, patience=patience, on=SILENT, every=0.2, what=f"{where}: answers")


def ensure_bucket(s3: S3, name: str, versioning: bool = True) -> None:
    """Create the bucket if it is missing, and enable `versioning` on it if asked for. Raises HarnessError."""
    store = client(s3)
    with asked(s3, name, "cannot be created"):
        if not store.bucket_exists(name):
            _make(store, name)
        if versioning and store.get_bucket_versioning(name).status != ENABLED:
            store.set_bucket_versioning(name, VersioningConfig(ENABLED))


def _make(store: Minio, name: str) -> None:
    try:
        store.make_bucket(name)
    except S3Error as error:
        if error.code not in EXISTS:  # created by another thread in the meantime
            raise


def tag(s3: S3, bucket: str, estate: str) -> None:
    """Tag the bucket with the name of its estate. Raises HarnessError."""
    tags = Tags.new_bucket_tags()
    tags[ESTATE] = estate
    with asked(s3, bucket, "cannot be tagged"):
        client(s3).set_bucket_tags(bucket, tags)


def read_tag(s3: S3, bucket: str) -> str | None:
    """Return the name of the estate in the bucket's tag, None without one. Raises HarnessError, also without bucket."""
    with asked(s3, bucket, "its tag cannot be read"):
        try:
            tags = client(s3).get_bucket_tags(bucket)
        except S3Error as error:
            if error.code == NO_TAGS:
                return None
            raise
    return tags.get(ESTATE) if tags else None
