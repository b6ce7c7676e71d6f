"""Manifest of a backup (contents, objects, recipients) and the COMMIT that refers to it, as canonical JSON.

Canonical: UTF-8, keys sorted, no spaces, one line. COMMIT has the manifest's SHA-256 and its HMAC-SHA256 under a key
that is derived from the data key by HKDF-SHA256 (no salt, info `blackstart-backup/1 manifest`).
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from harness.core.contents import (
    Contents,
    DatabaseFacts,
    Gap,
    Missing,
    SequenceFacts,
    SystemFacts,
    TableFacts,
    TreeFacts,
)
from harness.core.errors import Unreadable
from harness.repository.format.layout import FORMAT

FAMILY, _, VERSION = FORMAT.partition("/")
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """A stored object: sizes in bytes, SHA-256 of the plaintext in hex."""

    path: str
    plain_size: int
    stored_size: int
    plain_sha256: str


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The data key, wrapped to the recipient with that fingerprint."""

    fingerprint: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest. `versions`: names and versions of the programs that wrote it. Times are UTC."""

    estate: str
    cluster: str
    backup_id: str
    contents: Contents
    objects: tuple[ObjectEntry, ...]
    recipients: tuple[WrappedKey, ...]
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
        wrapped = [
            {"fingerprint": r.fingerprint, "wrapped": base64.b64encode(r.wrapped).decode()} for r in self.recipients
        ]
        return canonical({"format": FORMAT, **asdict(self), "recipients": wrapped})


@dataclass(frozen=True, slots=True)
class Commit:
    """COMMIT, which marks a backup as complete: SHA-256 and HMAC of its manifest, both hex."""

    backup_id: str
    manifest_sha256: str
    manifest_hmac: str

    def to_json(self) -> bytes:
        """Return its canonical JSON. `signatures` is empty in this version of the format."""
        return canonical({"format": FORMAT, **asdict(self), "signatures": []})


def commit_of(backup_id: str, manifest: bytes, dek: bytes) -> Commit:
    """Return the COMMIT of a manifest's bytes."""
    return Commit(backup_id, hashlib.sha256(manifest).hexdigest(), manifest_hmac(manifest, dek))


def manifest_hmac(manifest: bytes, dek: bytes) -> str:
    """Return the HMAC-SHA256 of a manifest's bytes under the key derived from the data key, hex."""
    key = HKDF(hashes.SHA256(), 32, None, f"{FORMAT} manifest".encode()).derive(dek)
    return hmac.new(key, manifest, hashlib.sha256).hexdigest()


def read_commit(text: bytes) -> Commit:
    """Return the COMMIT in `text`; raises Unreadable when it is malformed or of another format."""
    try:
        data = _loaded(text, "COMMIT")
        return Commit(str(data["backup_id"]), str(data["manifest_sha256"]), str(data["manifest_hmac"]))
    except MALFORMED as error:
        raise Unreadable(f"COMMIT: malformed ({type(error).__name__})") from None


def read_manifest(text: bytes) -> Manifest:
    """Return the manifest in `text`; raises Unreadable when it is malformed or of another format."""
    try:
        data = _loaded(text, "manifest")
        return Manifest(
            estate=str(data["estate"]),
            cluster=str(data["cluster"]),
            backup_id=str(data["backup_id"]),
            contents=_contents(data["contents"]),
            objects=tuple(ObjectEntry(**entry) for entry in data["objects"]),
            recipients=tuple(WrappedKey(r["fingerprint"], _bytes(r["wrapped"])) for r in data["recipients"]),
            started=datetime.fromisoformat(data["started"]),
            finished=datetime.fromisoformat(data["finished"]),
            versions=tuple((str(name), str(version)) for name, version in data["versions"]),
        )
    except MALFORMED as error:
        raise Unreadable(f"manifest: malformed ({type(error).__name__}: {str(error)[:80]})") from None


def canonical(data: dict[str, Any]) -> bytes:
    """Return canonical JSON; times are in ISO 8601."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)
    return text.encode() + b"\n"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be encoded in a manifest")


def _loaded(text: bytes, what: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(text)
    family, _, version = str(data["format"]).partition("/")
    if family != FAMILY:
        raise Unreadable(f"{what}: format {data['format']!r} is not {FORMAT}")
    if version != VERSION:
        raise Unreadable(f"{what}: format {data['format']!r} is newer than {FORMAT}; read it with a newer version")
    return data


def _contents(data: dict[str, Any]) -> Contents:
    return Contents(
        system=SystemFacts(**data["system"]),
        databases=tuple(_database(entry) for entry in data["databases"]),
        trees=tuple(_tree(entry) for entry in data["trees"]),
        fingerprints=_pairs(data["fingerprints"]),
        gaps=tuple(Gap(**gap) for gap in data["gaps"]),
    )


def _pairs(data: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in data)


def _tree(data: dict[str, Any]) -> TreeFacts:
    return TreeFacts(**{**data, "missing": tuple(Missing(**lost) for lost in data["missing"])})


def _database(data: dict[str, Any]) -> DatabaseFacts:
    special = {
        "snapshot_at": datetime.fromisoformat(data["snapshot_at"]),
        "tables": tuple(TableFacts(**table) for table in data["tables"]),
        "sequences": tuple(SequenceFacts(**sequence) for sequence in data["sequences"]),
        "properties": _pairs(data["properties"]),
        "not_compared": tuple(map(str, data["not_compared"])),
    }
    return DatabaseFacts(**{**data, **special})


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
