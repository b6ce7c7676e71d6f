"""The repository: what is committed, what of it can be opened, what was left behind."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError, NoValidBackup, Unreadable, UsageError
from harness.repository import keys
from harness.repository.frames import decompress
from harness.repository.layout import Layout, associated, id_of, new_id, wrap_info
from harness.repository.manifest import Manifest, ObjectEntry, authentication
from harness.repository.seal import open_sealed
from harness.repository.store import ObjectStore
from harness.repository.writer import Receipt, Writer

LEAST_RECIPIENTS = 2  # one of them offline: a site that is lost must not take the only key with it
Count = Callable[[int], None]

__all__ = ["CommittedBackup", "OpenBackup", "Receipt", "Repository", "Selection", "Writer"]


def uncounted(_count: int) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True)
class CommittedBackup:
    """A backup with a COMMIT. `damaged`: why it cannot be trusted, None for one that looks whole."""

    backup_id: str
    text: bytes = field(repr=False)
    hmac: str = field(repr=False)
    damaged: str | None = None

    @property
    def manifest(self) -> Manifest:
        """Return the manifest; raises Unreadable for a damaged one."""
        if self.damaged is not None:
            raise Unreadable(self.damaged)
        return Manifest.from_bytes(self.text, f"manifest of {self.backup_id}")


@dataclass(frozen=True, slots=True)
class OpenBackup:
    """A backup whose data key was unwrapped and whose manifest is authentic."""

    store: ObjectStore
    manifest: Manifest
    key: bytes = field(repr=False)

    def read(self, path: str, progress: Count = uncounted) -> Iterator[bytes]:
        """Yield the plaintext of one object, decompressed, nothing before it is authentic; raises Unreadable.

        The last piece comes only when size and digest are those of the manifest.
        """
        entry, digest, size = self._entry(path), hashlib.sha256(), 0
        held = b""
        for chunk in decompress(self.read_sealed(entry, progress), path):
            digest.update(chunk)
            size += len(chunk)
            if held:
                yield held
            held = chunk
        if (size, digest.hexdigest()) != (entry.plain_size, entry.plain_sha256):
            raise Unreadable(f"{path}: {size} bytes that differ from the manifest's {entry.plain_size}")
        if held:
            yield held

    def read_sealed(self, entry: ObjectEntry, progress: Count = uncounted) -> Iterator[bytes]:
        """Yield one object decrypted and still compressed; raises Unreadable."""
        manifest = self.manifest
        key = Layout(manifest.estate, manifest.backup_id).data(entry.path)
        bound = associated(manifest.contents.system.identifier, manifest.backup_id, entry.path)

        def counted() -> Iterator[bytes]:
            size = 0
            for chunk in self.store.get(key):
                size += len(chunk)
                progress(len(chunk))
                yield chunk
            if size != entry.stored_size:
                raise Unreadable(f"{entry.path}: {size} bytes are stored, the manifest says {entry.stored_size}")

        try:
            yield from open_sealed(counted(), self.key, bound, entry.path)
        except Unreadable:
            raise
        except HarnessError as error:
            raise Unreadable(f"{entry.path}: cannot be fetched ({error})") from error

    def verify(self, progress: Count = uncounted) -> int:
        """Authenticate every segment of every object; return the bytes opened. Raises Unreadable at the first fault."""
        return sum(len(chunk) for entry in self.manifest.objects for chunk in self.read_sealed(entry, progress))

    def _entry(self, path: str) -> ObjectEntry:
        for entry in self.manifest.objects:
            if entry.path == path:
                return entry
        raise Unreadable(f"{path}: not in backup {self.manifest.backup_id}")


@dataclass(frozen=True, slots=True)
class Selection:
    """The newest valid backup, and why newer ones were passed over."""

    backup: OpenBackup
    passed_over: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Repository:
    """The backups of one estate in one store."""

    store: ObjectStore
    estate: str
    clock: Clock = SYSTEM

    def begin(self, cluster: str, recipients: Sequence[str]) -> Writer:
        """Begin a backup of `cluster`, sealed to PEM `recipients`; raises UsageError for fewer than two."""
        public = [keys.read_public(text) for text in recipients]
        if len({keys.fingerprint(key) for key in public}) < LEAST_RECIPIENTS:
            raise UsageError(
                f"{len(public)} recipient keys: a backup is sealed to two different ones at least, one offline"
            )
        now = self.clock.wall()
        writer = Writer(self.store, Layout(self.estate, new_id(now)), cluster, public, self.clock, now)
        writer.begin()
        return writer

    def committed(self) -> tuple[CommittedBackup, ...]:
        """Return every backup with a COMMIT, newest first; one whose manifest is not the committed one as damaged."""
        entries = sorted(self.store.list(f"{self.estate}/commit/"), key=lambda e: e.key, reverse=True)
        return tuple(self._committed(id_of(entry.key)) for entry in entries)

    def _committed(self, backup_id: str) -> CommittedBackup:
        layout = Layout(self.estate, backup_id)
        try:
            commit = json.loads(b"".join(self.store.get(layout.commit)))
            text = b"".join(self.store.get(layout.manifest))
            if hashlib.sha256(text).hexdigest() != commit["manifest_sha256"]:
                return CommittedBackup(backup_id, b"", "", "its manifest is not the one that was committed")
            Manifest.from_bytes(text, f"manifest of {backup_id}")
            return CommittedBackup(backup_id, text, str(commit["manifest_hmac"]))
        except (HarnessError, ValueError, KeyError, TypeError) as error:
            return CommittedBackup(backup_id, b"", "", f"its manifest or COMMIT cannot be read ({error})")

    def open(self, backup: CommittedBackup, private_pem: str) -> OpenBackup:
        """Unwrap the data key and authenticate the manifest; raises Unreadable, UsageError for a malformed key."""
        private = keys.read_private(private_pem)
        manifest, mine = backup.manifest, keys.fingerprint(private.public_key())
        wrapped = next((k.wrapped for k in manifest.keys if k.recipient == mine), None)
        if wrapped is None:
            sealed_to = ", ".join(k.recipient for k in manifest.keys)
            raise Unreadable(f"{backup.backup_id} is sealed to {sealed_to}, not to the key {mine} that was given")
        info = wrap_info(manifest.contents.system.identifier, backup.backup_id)
        key = keys.unwrap(bytes.fromhex(wrapped), private, info)
        if not hmac.compare_digest(authentication(key, backup.text), backup.hmac):
            raise Unreadable(f"{backup.backup_id}: its manifest was changed by somebody without the data key")
        return OpenBackup(self.store, manifest, key)

    def latest_valid(self, private_pem: str, progress: Count = uncounted) -> Selection:
        """Return the newest backup that opens and authenticates to its last segment.

        Raises NoValidBackup with the reason for each, UsageError for a malformed key.
        """
        keys.read_private(private_pem)
        passed_over: list[tuple[str, str]] = []
        for entry in self.committed():
            try:
                backup = self.open(entry, private_pem)
                backup.verify(progress)
            except Unreadable as error:
                passed_over.append((entry.backup_id, str(error)))
                continue
            return Selection(backup, tuple(passed_over))
        reasons = "; ".join(f"{backup_id}: {reason}" for backup_id, reason in passed_over) or "none is committed"
        raise NoValidBackup(f"no valid backup of {self.estate} in the offsite store: {reasons}")

    def reap(self, older_than: float) -> tuple[str, ...]:
        """Remove what uncommitted backups left, begun over `older_than` seconds ago; return their ids."""
        kept = {id_of(e.key) for e in self.store.list(f"{self.estate}/commit/")}
        reaped = []
        for entry in tuple(self.store.list(f"{self.estate}/intent/")):
            backup_id = id_of(entry.key)
            if self._age(entry.modified) < older_than:
                continue
            if backup_id not in kept:
                for left in tuple(self.store.list(f"{self.estate}/data/{backup_id}/")):
                    self.store.delete(left.key)
                self.store.delete(Layout(self.estate, backup_id).manifest)
                reaped.append(backup_id)
            self.store.delete(entry.key)
        return tuple(reaped)

    def _age(self, then: datetime) -> float:
        return (self.clock.wall() - then).total_seconds()
