"""Outbox table: accepted messages and their delivery."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from notifier.message import Message

FIND = "SELECT id, idempotency_key::text FROM outbox WHERE reference = %s"
INSERT = """
    INSERT INTO outbox (reference, recipient, subject, body, attachment_key, attachment_sha256)
    VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (reference) DO NOTHING
    RETURNING id, idempotency_key::text
"""
LIST = """
    SELECT reference, idempotency_key::text, delivered_at IS NOT NULL
    FROM outbox WHERE starts_with(reference, %s) ORDER BY id
"""
ATTACHMENT = "SELECT attachment_key, attachment_sha256 FROM outbox WHERE reference = %s"
IS_HELD = "SELECT EXISTS (SELECT FROM control WHERE name = 'delivery' AND value = 'held')"
NEXT = f"""
    SELECT id, reference, recipient, subject, body, attachment_key, attachment_sha256, idempotency_key::text,
           attempts
    FROM outbox WHERE delivered_at IS NULL AND id <> ALL(%s::bigint[]) AND NOT ({IS_HELD})
    ORDER BY id LIMIT 1 FOR UPDATE OF outbox SKIP LOCKED
"""  # noqa: S608 - constants only
DELIVERED = "UPDATE outbox SET delivered_at = now(), attempts = attempts + 1 WHERE id = %s"
FAILED = "UPDATE outbox SET attempts = attempts + 1 WHERE id = %s"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message in the outbox. `new`: whether it was added now."""

    id: int
    reference: str
    idempotency_key: str
    new: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of the list of messages."""

    reference: str
    idempotency_key: str
    delivered: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """Key and SHA-256 (hex) of a message's attachment; None if it has none."""

    key: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message to deliver. `attempts`: the number of failed attempts."""

    id: int
    reference: str
    recipient: str
    subject: str
    body: str
    attachment_key: str | None
    attachment_sha256: str | None
    idempotency_key: str
    attempts: int


def find(connection: psycopg.Connection, reference: str) -> Accepted | None:
    """Return the message with that reference, None if there is none."""
    row = connection.execute(FIND, (reference,)).fetchone()
    return Accepted(row[0], reference, row[1], new=False) if row else None


def insert(connection: psycopg.Connection, message: Message) -> Accepted | None:
    """Add a message and return it, None if its reference exists already."""
    file = message.attachment
    values = (message.reference, message.recipient, message.subject, message.body)
    row = connection.execute(INSERT, (*values, file.key if file else None, file.sha256 if file else None)).fetchone()
    return Accepted(row[0], message.reference, row[1], new=True) if row else None


def listed(connection: psycopg.Connection, prefix: str) -> tuple[tuple[Listed, ...], bool]:
    """Return all messages whose reference starts with `prefix`, oldest first, and whether delivery is on hold."""
    held = connection.execute(IS_HELD).fetchone()
    rows = connection.execute(LIST, (prefix,)).fetchall()
    return tuple(Listed(*row) for row in rows), bool(held and held[0])


def attachment(connection: psycopg.Connection, reference: str) -> Stored | None:
    """Return key and digest of a message's attachment, None if there is no such message."""
    row = connection.execute(ATTACHMENT, (reference,)).fetchone()
    return Stored(*row) if row else None


def next_waiting(connection: psycopg.Connection, but_not: Sequence[int]) -> Waiting | None:
    """Lock and return an undelivered message, the oldest first; None without one or while on hold."""
    row = connection.execute(NEXT, (list(but_not),)).fetchone()
    return Waiting(*row) if row else None


def mark(connection: psycopg.Connection, waiting: Waiting, *, delivered: bool) -> None:
    """Record the result of an attempt."""
    connection.execute(DELIVERED if delivered else FAILED, (waiting.id,))
