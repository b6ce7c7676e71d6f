"""Example messages of the notification service, each with an attachment generated from its number."""

import hashlib
from dataclasses import dataclass, field

PREFIX = "example-"
BLOCKS = 1024  # of 32 bytes each: an attachment of 32 KiB


@dataclass(frozen=True, slots=True)
class Example:
    """An example message and its attachment. `key`: the attachment's key in the bucket."""

    reference: str
    recipient: str
    subject: str
    body: str
    key: str
    sha256: str
    content: bytes = field(repr=False)


def attachment(number: int) -> bytes:
    """Return the attachment of example `number`: deterministic bytes that do not compress."""
    return b"".join(hashlib.sha256(f"{PREFIX}{number}:{block}".encode()).digest() for block in range(BLOCKS))


def example(number: int) -> Example:
    """Return example message `number`, counted from 1."""
    content = attachment(number)
    digest = hashlib.sha256(content).hexdigest()
    return Example(
        reference=f"{PREFIX}{number}",
        recipient=f"customer-{number}@shop.test",
        subject=f"Your order {number}",
        body=f"The invoice of order {number} is attached.",
        key=f"attachments/{digest}/invoice-{number}.bin",
        sha256=digest,
        content=content,
    )


def number_of(reference: str) -> int:
    """Return the number in the reference of an example message, 0 for any other reference."""
    text = reference.removeprefix(PREFIX)
    return int(text) if reference.startswith(PREFIX) and text.isascii() and text.isdigit() else 0
