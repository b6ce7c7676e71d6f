"""Catalogue of an estate's backups. Only committed backups are listed; the others are removed by `reap`.

Writes happen in the order intent, objects, manifest, COMMIT; deletions in the reverse order. A writer killed at any
point leaves a backup that is either committed and complete, or not listed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import NoValidBackup, Unreadable
from harness.repository.format.layout import Layout, begun_at
from harness.repository.format.manifest import Commit, Manifest, ObjectEntry, read_commit, read_manifest
from harness.repository.reader import OpenBackup, Progress, open_backup
from harness.repository.store.port import ObjectStore
from harness.repository.writer import Receipt, Writer, begin, remove

__all__ = ["CommittedBackup", "ObjectEntry", "OpenBackup", "Receipt", "Repository", "Selection", "Writer"]

ABANDONED = 24 * 3600.0  # seconds
LARGEST_MANIFEST = 64 << 20  # bytes; a larger one is refused before it is read into memory


@dataclass(frozen=True, slots=True)
class CommittedBackup:
    """A committed backup. `damaged`: why its manifest cannot be trusted, None if it can."""

    backup_id: str
    damaged: str | None
    _manifest: Manifest | None = field(default=None, repr=False)
    _text: bytes = field(default=b"", repr=False)
    _commit: Commit | None = field(default=None, repr=False)

    @property
    def manifest(self) -> Manifest:
        """Return the manifest; raises Unreadable when it is damaged."""
        return self.parts[0]

    @property
    def parts(self) -> tuple[Manifest, bytes, Commit]:
        """Return the manifest, its bytes and its COMMIT; raises Unreadable when the backup is damaged."""
        if self._manifest is None or self._commit is None:
            raise Unreadable(f"backup {self.backup_id}: {self.damaged}")
        return self._manifest, self._text, self._commit


@dataclass(frozen=True, slots=True)
class Selection:
    """The newest backup that authenticates completely, and the newer ones that do not, each with the reason."""

    backup: OpenBackup
    passed_over: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Repository:
    """The backups of one estate in one store."""

    store: ObjectStore
    estate: str
    clock: Clock = SYSTEM

    @property
    def layout(self) -> Layout:
        """Return the keys of its objects in the store."""
        return Layout(self.estate)

    def begin(self, cluster: str, recipients: Sequence[str | bytes]) -> Writer:
        """Write the intent of a new backup; return its writer. Raises UsageError for bad recipients, HarnessError."""
        return begin(self.store, self.layout, self.clock, cluster, recipients)

    def committed(self) -> tuple[CommittedBackup, ...]:
        """Return every backup with a COMMIT, newest first, damaged ones with the reason. Raises HarnessError."""
        prefix = self.layout.of("commit")
        ids = {self.layout.id_in(entry.key) for entry in self.store.list(prefix)} - {""}
        return tuple(self._entry(backup_id) for backup_id in sorted(ids, reverse=True))

    def _entry(self, backup_id: str) -> CommittedBackup:
        try:
            manifest, text, commit = self._parts(backup_id)
        except Unreadable as error:
            return CommittedBackup(backup_id, str(error))
        return CommittedBackup(backup_id, None, manifest, text, commit)

    def _parts(self, backup_id: str) -> tuple[Manifest, bytes, Commit]:
        commit = read_commit(self._small_object(self.layout.commit(backup_id)))
        text = self._small_object(self.layout.manifest(backup_id))
        if hashlib.sha256(text).hexdigest() != commit.manifest_sha256:
            raise Unreadable("manifest: SHA-256 differs from the one in COMMIT")
        manifest = read_manifest(text)
        if (manifest.estate, manifest.backup_id, commit.backup_id) != (self.estate, backup_id, backup_id):
            raise Unreadable(f"manifest: belongs to backup {manifest.backup_id} of estate {manifest.estate}")
        return manifest, text, commit

    def _small_object(self, key: str) -> bytes:
        text = bytearray()
        for chunk in self.store.get(key):
            text += chunk
            if len(text) > LARGEST_MANIFEST:
                raise Unreadable(f"{key}: larger than the limit of {LARGEST_MANIFEST} bytes")
        return bytes(text)

    def open(self, backup: CommittedBackup, private_pem: str | bytes) -> OpenBackup:
        """Open a backup with a recipient's key. Raises Unreadable (damaged, not a recipient), UsageError (no key)."""
        manifest, text, commit = backup.parts
        return open_backup(self.store, self.layout, manifest, text, commit, private_pem)

    def latest_valid(self, private_pem: str | bytes, progress: Progress | None = None) -> Selection:
        """Return the newest backup that is authentic throughout. Raises NoValidBackup with reasons, HarnessError."""
        passed_over: list[tuple[str, str]] = []
        for entry in self.committed():
            try:
                backup = self.open(entry, private_pem)
                backup.verify(progress)
            except Unreadable as error:
                passed_over.append((entry.backup_id, str(error)))
            else:
                return Selection(backup, tuple(passed_over))
        reasons = "; ".join(f"{backup_id}: {reason}" for backup_id, reason in passed_over)
        raise NoValidBackup(f"estate {self.estate}: no valid backup: {reasons or 'none is committed'}")

    def reap(self, older_than: float = ABANDONED) -> tuple[str, ...]:
        """Delete uncommitted backups older than `older_than` seconds, in the layout only; return their names."""
        newest: dict[str, datetime] = {}
        for kind in ("intent", "data", "manifest"):
            for entry in self.store.list(self.layout.of(kind)):
                backup_id = self.layout.id_in(entry.key)
                begun = begun_at(backup_id)
                if begun is not None:
                    newest[backup_id] = max(newest.get(backup_id, begun), entry.modified)
        # Listed last, so that a backup committed during the listings above is included.
        kept = {self.layout.id_in(entry.key) for entry in self.store.list(self.layout.of("commit"))}
        limit = self.clock.wall() - timedelta(seconds=older_than)
        reaped = [name for name, last in sorted(newest.items()) if name not in kept and last <= limit]
        for backup_id in reaped:
            remove(self.store, self.layout, backup_id)
        for backup_id in sorted(set(newest) & kept):
            self.store.delete(self.layout.intent(backup_id))
        return tuple(reaped)
