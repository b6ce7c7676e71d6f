"""Messages of clients: parsing and validation."""

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass, field

from notifier.errors import BadMessage

REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
LONGEST = 16 * 1024 * 1024  # bytes of one request
FIELDS = ("reference", "to", "subject", "body")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file attached to a message. Its key contains its digest, so that equal files are stored once."""

    name: str
    content: bytes = field(repr=False)
    sha256: str

    @property
    def key(self) -> str:
        """Return its key in the bucket."""
        return f"attachments/{self.sha256}/{self.name}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message to deliver. `reference`: chosen by the client, unique."""

    reference: str
    recipient: str
    subject: str
    body: str
    attachment: Attachment | None


def parse(data: bytes) -> Message:
    """Return the message in a request's JSON body; raises BadMessage with the invalid field."""
    try:
        row = json.loads(data)
    except ValueError:
        raise BadMessage("the body is not JSON") from None
    if not isinstance(row, dict):
        raise BadMessage("the body is not a JSON object")
    if unknown := sorted(set(row) - {*FIELDS, "attachment"}):
        raise BadMessage(f"unknown field {unknown[0]!r}; known are {', '.join(FIELDS)}, attachment")
    reference, recipient, subject, body = (text(row, name) for name in FIELDS)
    if not REFERENCE.fullmatch(reference):
        raise BadMessage(
            "reference: must start with a letter or digit, then letters, digits and . _ : - only, at most 200"
        )
    if not recipient.strip():
        raise BadMessage("to: is empty")
    return Message(reference, recipient, subject, body, parse_attachment(row.get("attachment")))


def text(row: dict[str, object], name: str) -> str:
    """Return the text of a field; raises BadMessage."""
    value = row.get(name)
    if not isinstance(value, str):
        raise BadMessage(f"{name}: is missing" if value is None else f"{name}: is not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadMessage(f"{name}: contains a lone surrogate") from None
    if "\0" in value:
        raise BadMessage(f"{name}: contains a NUL character")
    return value


def parse_attachment(value: object) -> Attachment | None:
    """Return the attachment, None if there is none; raises BadMessage."""
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"name", "content_base64"}:
        raise BadMessage("attachment: must have name and content_base64 only")
    name, encoded = text(value, "name"), text(value, "content_base64")
    if not 0 < len(name) <= 200 or not name.isprintable() or "/" in name or name in {".", ".."}:  # noqa: PLR2004
        raise BadMessage("attachment.name: must be a plain file name of at most 200 characters")
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise BadMessage("attachment.content_base64: is not base64") from None
    return Attachment(name, content, hashlib.sha256(content).hexdigest())
