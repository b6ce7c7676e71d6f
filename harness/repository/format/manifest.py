"""Manifest of a backup: contents, objects, versions, as canonical JSON, which is sealed like every object.

Canonical: UTF-8, keys sorted, no spaces, one line.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.core.contents import Contents
from harness.core.errors import Unreadable
from harness.repository.format.layout import FORMAT


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """A stored object: sizes in bytes, SHA-256 of the plaintext in hex."""

    path: str
    plain_size: int
    stored_size: int
    plain_sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest. `versions`: names and versions of the programs that wrote it. Times are UTC."""

    estate: str
    cluster: str
    backup_id: str
    contents: Contents
    objects: tuple[ObjectEntry, ...]
    started: datetime
    finished: datetime
    versions: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int:
        """Return the stored size of all objects in bytes."""
        return sum(entry.stored_size for entry in self.objects)

    @property
    def plain_size(self) -> int:
        """Return the size of all objects before compression, in bytes."""
        return sum(entry.plain_size for entry in self.objects)

    def entry(self, path: str) -> ObjectEntry:
        """Return the object of that path; raises Unreadable with the paths that exist."""
        for entry in self.objects:
            if entry.path == path:
                return entry
        raise Unreadable(f"backup {self.backup_id}: has no {path}; it has {', '.join(e.path for e in self.objects)}")

    def to_json(self) -> bytes:
        """Return its canonical JSON."""
        return canonical({"format": FORMAT, **asdict(self)})


@cache
def _reader() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def read_manifest(text: bytes) -> Manifest:
    """Return the manifest in `text`; raises Unreadable when it is malformed."""
    try:
        return _reader().validate_json(text, strict=True)
    except ValidationError as error:
        raise Unreadable(f"manifest: malformed ({explained(error)})") from None


def explained(error: ValidationError) -> str:
    """Return the place and the reason of the first mistake, without the value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(ascii(part).strip("'")[:40] for part in first["loc"])
    return f"{where}: {first['msg']}"[:160] if where else str(first["msg"])[:160]


def canonical(data: dict[str, Any]) -> bytes:
    """Return canonical JSON; times are in ISO 8601."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)
    return text.encode() + b"\n"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be encoded in a manifest")
