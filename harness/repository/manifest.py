"""The manifest of a backup: what is in it and how to open it, as canonical JSON, format `blackstart-backup/1`."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from harness.core.contents import Contents, DatabaseFacts, SystemFacts, TableFacts, TreeFacts
from harness.core.errors import Unreadable

FORMAT = "blackstart-backup/1"


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One object of a backup: its path, bytes before and after, SHA-256 of the plaintext, hex."""

    path: str
    plain_size: int
    stored_size: int
    plain_sha256: str


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The data key sealed to one recipient: its fingerprint, and the HPKE ciphertext, hex."""

    recipient: str
    wrapped: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that is known of a backup without opening it. `started` and `finished`: UTC."""

    estate: str
    backup_id: str
    started: datetime
    finished: datetime
    contents: Contents
    objects: tuple[ObjectEntry, ...]
    keys: tuple[WrappedKey, ...]

    def to_bytes(self) -> bytes:
        """Return the canonical JSON: keys sorted, no white space, UTF-8."""
        data = {"format": FORMAT, **asdict(self)}
        return json.dumps(data, sort_keys=True, separators=(",", ":"), default=_plain, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes, what: str) -> Manifest:
        """Return the manifest in `data`; raises Unreadable, naming `what`."""
        try:
            row = json.loads(data)
            if row.pop("format") != FORMAT:
                raise Unreadable(f"{what}: another format than {FORMAT}; use the version that wrote it")
            return cls(
                row["estate"],
                row["backup_id"],
                datetime.fromisoformat(row["started"]),
                datetime.fromisoformat(row["finished"]),
                _contents(row["contents"]),
                tuple(ObjectEntry(**o) for o in row["objects"]),
                tuple(WrappedKey(**k) for k in row["keys"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unreadable(f"{what}: not a manifest ({error})") from None


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _contents(row: dict[str, Any]) -> Contents:
    databases = []
    for d in row["databases"]:
        d["snapshot_at"] = datetime.fromisoformat(d["snapshot_at"])
        d["tables"] = tuple(TableFacts(**t) for t in d["tables"])
        d["sequences"] = tuple((name, value) for name, value in d["sequences"])
        databases.append(DatabaseFacts(**d))
    return Contents(
        SystemFacts(**row["system"]),
        tuple(databases),
        tuple(TreeFacts(**t) for t in row["trees"]),
        tuple((name, value) for name, value in row["fingerprints"]),
    )


def authentication(data_key: bytes, manifest: bytes) -> str:
    """Return the HMAC-SHA256, hex, of a manifest under a key derived from the data key.

    Only who holds the data key can make it: an edit of a manifest by another is noticed when it is opened.
    """
    key = HKDF(hashes.SHA256(), 32, None, b"blackstart manifest").derive(data_key)
    return hmac.new(key, manifest, hashlib.sha256).hexdigest()
