"""Where the objects of a backup lie in the bucket, and what binds each to its place."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one backup."""

    estate: str
    backup_id: str

    @property
    def intent(self) -> str:
        """Written first: somebody is at work."""
        return f"{self.estate}/intent/{self.backup_id}.json"

    @property
    def manifest(self) -> str:
        """What is in it."""
        return f"{self.estate}/manifest/{self.backup_id}.json"

    @property
    def commit(self) -> str:
        """Written last: it is whole."""
        return f"{self.estate}/commit/{self.backup_id}.json"

    def data(self, path: str) -> str:
        """One sealed object."""
        return f"{self.estate}/data/{self.backup_id}/{path}"


def new_id(now: datetime) -> str:
    """Return an id that sorts by time and is never given twice."""
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{secrets.token_hex(5)}"


def id_of(key: str) -> str:
    """Return the backup id in the key of an intent, a manifest or a commit."""
    return key.rsplit("/", 1)[-1].removesuffix(".json")


def _bound(*parts: str) -> bytes:
    # Each part with its length before it: no two different lists give the same bytes.
    return b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)


def associated(cluster: str, backup_id: str, path: str) -> bytes:
    """Return the associated data of a sealed object."""
    return _bound("blackstart/1", cluster, backup_id, path)


def wrap_info(cluster: str, backup_id: str) -> bytes:
    """Return HPKE's `info` for the data key of a backup."""
    return _bound("blackstart/1 key", cluster, backup_id)
