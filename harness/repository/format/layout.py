"""Keys of a repository's objects in the bucket, names of backups, and the associated data of encryption."""

import re
import secrets
import struct
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.core.clock import Clock
from harness.core.errors import UsageError

FORMAT = "blackstart-backup/2"
UNSIGNED = "blackstart-backup/1"  # the version before, which is only read
STAMP = "%Y%m%dT%H%M%S.%fZ"
BACKUP_ID = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-[0-9a-f]{10}")
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
        """Return the prefix of one kind of object: `intent`, `data`, `keys`, `manifest`, `commit`, `wal`, ..."""
        return f"{self.estate}/{kind}/"

    def intent(self, backup_id: str) -> str:
        """Return the key of the intent, which is written when a backup starts."""
        return f"{self.of('intent')}{backup_id}.json"

    def manifest(self, backup_id: str) -> str:
        """Return the key of the sealed manifest."""
        return f"{self.of('manifest')}{backup_id}"

    def keys(self, backup_id: str, fingerprint: str = "") -> str:
        """Return the key of the data key that is wrapped to a recipient, or the prefix of all of them."""
        return f"{self.of('keys')}{backup_id}/{fingerprint}"

    def commit(self, backup_id: str) -> str:
        """Return the key of COMMIT, which marks a backup as complete."""
        return f"{self.of('commit')}{backup_id}.json"

    def expiry(self, name: str) -> str:
        """Return the key of a note of expired backups; its name is formed like a backup's."""
        return f"{self.of('expired')}{name}.json"

    def writer(self, backup_id: str) -> str:
        """Return the key of what the writer reads back for the next incremental backup, sealed to itself."""
        return f"{self.of('writer')}{backup_id}"

    def data(self, backup_id: str, path: str = "") -> str:
        """Return the key of an object of a backup, or without `path` the prefix of all of them."""
        return f"{self.of('data')}{backup_id}/{path}"

    def whole(self, backup_id: str) -> tuple[str, ...]:
        """Return the prefixes of all that a backup has but its intent and its COMMIT, in the order of writing."""
        return self.data(backup_id), self.writer(backup_id), self.keys(backup_id), self.manifest(backup_id)

    def wal(self, run: str, path: str = "") -> str:
        """Return the key of an object of shipped WAL, or without `path` the prefix of a run's objects and keys."""
        return f"{self.of('wal')}{run}/{path}"

    def wal_keys(self, run: str, fingerprint: str = "") -> str:
        """Return the key of the data key of a run of WAL shipping, wrapped to a recipient, or their prefix."""
        return self.wal(run, f"keys/{fingerprint}")

    def wal_list(self, sequence: int, run: str, tail: int = 0) -> str:
        """Return the key of a signed list of shipped WAL; they sort by number. `tail`: its own, 0 for a batch."""
        if tail:
            return f"{self.of('wal-tail')}{sequence:016}-{run}.{tail:08}.json"
        return f"{self.of('wal-batch')}{sequence:016}-{run}.json"

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
    """Return `words`, each as the length of its UTF-8 (4 bytes, big-endian) and its UTF-8."""
    return b"".join(struct.pack(">I", len(word.encode())) + word.encode() for word in words)


def object_binding(cluster: str, backup_id: str, path: str, form: str = FORMAT) -> bytes:
    """Return the associated data of an object, which binds its ciphertext to format, cluster, backup and path."""
    return bind(form, "object", cluster, backup_id, path)


def manifest_binding(cluster: str, backup_id: str) -> bytes:
    """Return the associated data of the sealed manifest; that of no object is the same."""
    return bind(FORMAT, "manifest", cluster, backup_id)


def key_binding(cluster: str, backup_id: str, form: str = FORMAT) -> bytes:
    """Return the HPKE info of a wrapped data key."""
    return bind(form, "key", cluster, backup_id)


def writer_binding(cluster: str, backup_id: str) -> bytes:
    """Return the associated data of what a writer seals to itself; as HKDF info it makes the key of that."""
    return bind(FORMAT, "writer", cluster, backup_id)


def check_binding(cluster: str, backup_id: str) -> bytes:
    """Return the HKDF info of the value by which a data key is recognised."""
    return bind(FORMAT, "check", cluster, backup_id)
