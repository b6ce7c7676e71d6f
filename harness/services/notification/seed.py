"""Example data of the notification service: database, schema, queued messages and their attachments."""

import importlib.util
from io import BytesIO
from pathlib import Path

from psycopg import sql

from harness.core.errors import HarnessError
from harness.core.service import Place
from harness.postgres.server import make_database, transaction
from harness.s3.client import asked, client, ensure_bucket
from harness.services.notification.example import example

INSERT = """
    INSERT INTO outbox (reference, recipient, subject, body, attachment_key, attachment_sha256)
    VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (reference) DO NOTHING
"""


def checkout() -> Path:
    """Return the folder that contains the package `notifier`, without importing it. Raises HarnessError."""
    found = importlib.util.find_spec("notifier")
    if found is None or not found.submodule_search_locations:
        raise HarnessError("package notifier: not found; run from the checkout, or install it too")
    return Path(found.submodule_search_locations[0]).resolve().parent


def seed(place: Place, database: str, role: str, password_ref: str, *, bucket: str, count: int) -> None:
    """Create database, schema and bucket, and queue `count` messages, each with its attachment. Raises HarnessError."""
    examples = tuple(example(number) for number in range(1, count + 1))
    make_database(place.sql, database, role, password_ref)
    ensure_bucket(place.s3, bucket, versioning=False)
    store = client(place.s3)
    with asked(place.s3, bucket, "attachments cannot be stored"):
        for row in examples:
            store.put_object(bucket, row.key, BytesIO(row.content), len(row.content))
    with transaction(place.sql, database, "seed an empty database") as connection:
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        connection.execute((checkout() / "notifier" / "schema.sql").read_bytes())
        for row in examples:
            values = (row.reference, row.recipient, row.subject, row.body, row.key, row.sha256)
            connection.execute(INSERT, values)
