"""Example data of the notification service: role, database, schema, queued messages, attachments."""

from __future__ import annotations

import importlib.util
from io import BytesIO
from pathlib import Path

import urllib3
from minio import Minio
from minio.error import MinioException
from psycopg import sql

from harness.core.errors import HarnessError
from harness.core.service import S3, Place, Sql
from harness.postgres.roles import make_database
from harness.postgres.server import connect
from harness.services.notification.example import Example, example
from harness.vault import read_text_secret

INSERT = """
    INSERT INTO outbox (reference, recipient, subject, body, attachment_key, attachment_sha256)
    VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (reference) DO NOTHING
"""


def checkout() -> Path:
    """Return the folder that the package `notifier` is imported from; it is not imported here."""
    found = importlib.util.find_spec("notifier")
    if found is None or not found.submodule_search_locations:
        raise HarnessError("package notifier: not found beside the harness; run from the checkout or install both")
    return Path(found.submodule_search_locations[0]).resolve().parent


def queue(place: Sql, name: str, role: str, examples: tuple[Example, ...]) -> None:
    """Make the service's schema, owned by its role, and queue the examples, undelivered. Raises HarnessError."""
    schema = (checkout() / "notifier" / "schema.sql").read_bytes()
    with connect(place, name) as connection, connection.transaction():
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        connection.execute(schema)
        for row in examples:
            values = (row.reference, row.recipient, row.subject, row.body, row.key, row.sha256)
            connection.execute(INSERT, values)


def put_attachments(place: S3, bucket: str, examples: tuple[Example, ...]) -> None:
    """Put the attachments of the examples, the bucket made where it is missing. Raises HarnessError."""
    client = Minio(
        str(place.outside),
        access_key=read_text_secret(place.access_key_ref),
        secret_key=read_text_secret(place.secret_key_ref),
        secure=False,
        region="us-east-1",
        http_client=urllib3.PoolManager(timeout=urllib3.Timeout(connect=5.0, read=30.0), retries=urllib3.Retry(2)),
    )
    try:
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
        for row in examples:
            client.put_object(bucket, row.key, BytesIO(row.content), len(row.content))
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise HarnessError(f"bucket {bucket} on {place.outside}: {type(error).__name__}: {error}") from None


def seed(place: Place, database: str, role: str, password_ref: str, *, bucket: str, count: int) -> None:
    """Fill an empty site: `count` messages queued and undelivered, each with its attachment stored."""
    examples = tuple(example(number) for number in range(1, count + 1))
    make_database(place.sql, database, role, password_ref)
    put_attachments(place.s3, bucket, examples)
    queue(place.sql, database, role, examples)
