"""Keys of a repository's objects in the bucket, names of backups, and the associated data of encryption."""

import re
import secrets
import struct
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.core.clock import Clock
from harness.core.errors import UsageError

FORMAT = "blackstart-backup/1"
STAMP = "%Y%m%dT%H%M%S.%fZ"
BACKUP_ID = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-[0-9a-f]{10}")
ESTATE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LONGEST_PATH = 700  # bytes: S3 allows keys of 1024


def new_id(clock: Clock) -> str:
    """Return a name for a new backup: UTC time in microseconds and ten random hex digits. Names sort by time."""
    return f"{clock.wall().astimezone(UTC).strftime(STAMP)}-{secrets.token_hex(5)}"


def begun_at(backup_id: str) -> datetime | None:
    """Return the UTC time in a backup's name, None if it is not the name of a backup."""
    match = BACKUP_ID.fullmatch(backup_id)
    if match is None:
        return None
    try:
        return datetime.strptime(match.group(1), STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one estate's repository."""

    estate: str

    def __post_init__(self) -> None:
        if not ESTATE.fullmatch(self.estate):
            raise UsageError(f"estate {self.estate!r}: use letters, digits, '.', '_', '-' only, at most 63 characters")

    def of(self, kind: str) -> str:
        """Return the prefix of one kind of object: `intent`, `data`, `manifest`, `commit`."""
        return f"{self.estate}/{kind}/"

    def intent(self, backup_id: str) -> str:
        """Return the key of the intent, which is written when a backup starts."""
        return f"{self.of('intent')}{backup_id}.json"

    def manifest(self, backup_id: str) -> str:
        """Return the key of the manifest."""
        return f"{self.of('manifest')}{backup_id}.json"

    def commit(self, backup_id: str) -> str:
        """Return the key of COMMIT, which marks a backup as complete."""
        return f"{self.of('commit')}{backup_id}.json"

    def data(self, backup_id: str, path: str = "") -> str:
        """Return the key of an object of a backup, or without `path` the prefix of all of them."""
        return f"{self.of('data')}{backup_id}/{path}"

    def id_in(self, key: str) -> str:
        """Return the name of the backup that a key belongs to, "" if the key does not follow this layout."""
        rest = key.removeprefix(f"{self.estate}/").partition("/")[2]
        name = rest.partition("/")[0].removesuffix(".json")
        return name if begun_at(name) is not None else ""


def check_path(path: str) -> str:
    """Return `path` if it is a valid path of an object; raises UsageError otherwise."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or not path.isprintable() or len(path.encode()) > LONGEST_PATH:
        raise UsageError(f"object path {path!r}: must be relative, printable, without '..', under {LONGEST_PATH} bytes")
    return path


def bind(*words: str) -> bytes:
    """Return the format's name and `words`, each as the length of its UTF-8 (4 bytes, big-endian) and its UTF-8."""
    return b"".join(struct.pack(">I", len(word.encode())) + word.encode() for word in (FORMAT, *words))


def object_binding(cluster: str, backup_id: str, path: str) -> bytes:
    """Return the associated data of an object, which binds its ciphertext to cluster, backup and path."""
    return bind("object", cluster, backup_id, path)


def key_binding(cluster: str, backup_id: str) -> bytes:
    """Return the HPKE info of a wrapped data key."""
    return bind("key", cluster, backup_id)
