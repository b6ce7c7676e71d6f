"""The catalogue of one estate's backups: what is listed can be restored, what is not listed is reaped.

Order of writing: intent, objects, manifest, COMMIT. Order of deleting: the reverse. Killed anywhere, a backup is
either committed and whole, or not listed at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import NoValidBackup, Unreadable
from harness.repository.format.layout import Layout, begun_at
from harness.repository.format.manifest import Commit, Manifest, ObjectEntry, read_commit, read_manifest
from harness.repository.reading import OpenBackup, Progress, open_backup
from harness.repository.store.port import ObjectStore
from harness.repository.writer import Receipt, Writer, begin, remove

__all__ = ["CommittedBackup", "ObjectEntry", "OpenBackup", "Receipt", "Repository", "Selection", "Writer"]

ABANDONED = 24 * 3600.0  # seconds
LARGEST_NOTE = 64 << 20  # bytes of a manifest: refused beyond, before memory is spent on it


@dataclass(frozen=True, slots=True)
class CommittedBackup:
    """One line of the catalogue. `damaged`: why it cannot be trusted, or None; then all else is known."""

    backup_id: str
    path: str
    damaged: str | None
    _manifest: Manifest | None = field(default=None, repr=False)
    _text: bytes = field(default=b"", repr=False)
    _commit: Commit | None = field(default=None, repr=False)

    @property
    def manifest(self) -> Manifest:
        """What is in it; raises Unreadable when it is damaged."""
        return self.parts[0]

    @property
    def parts(self) -> tuple[Manifest, bytes, Commit]:
        """The manifest, its bytes, and the note that commits it; raises Unreadable when it is damaged."""
        if self._manifest is None or self._commit is None:
            raise Unreadable(f"backup {self.backup_id}: {self.damaged}")
        return self._manifest, self._text, self._commit

    @property
    def receipt(self) -> Receipt:
        """What was confirmed when it was committed; raises Unreadable when it is damaged."""
        manifest, _, commit = self.parts
        return Receipt(
            self.backup_id,
            self.path,
            manifest.finished,
            manifest.size,
            manifest.plain_size,
            commit.manifest_sha256,
        )

    @property
    def size(self) -> int:
        """Bytes stored."""
        return self.manifest.size

    @property
    def plain_size(self) -> int:
        """Bytes before compression."""
        return self.manifest.plain_size

    @property
    def committed_at(self) -> datetime:
        """When it was committed, UTC, by the writer's clock."""
        return self.manifest.finished


@dataclass(frozen=True, slots=True)
class Selection:
    """The newest backup that opens to its last segment, and the newer ones that do not, each with the reason."""

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
        """Where its parts lie."""
        return Layout(self.estate)

    def begin(self, cluster: str, recipients: Sequence[str | bytes]) -> Writer:
        """Begin a backup of the database cluster with that identifier; the intent is written first.

        `recipients` are public halves in PEM. Raises UsageError for fewer than two different ones or a malformed one.
        """
        return begin(self.store, self.layout, self.clock, cluster, recipients)

    def committed(self) -> tuple[CommittedBackup, ...]:
        """Return every backup that has a COMMIT, newest first; raises HarnessError when the store fails.

        One whose manifest is missing or is not the one that was committed comes back as damaged, with the reason.
        """
        prefix = self.layout.of("commit")
        ids = {self.layout.id_in(entry.key) for entry in self.store.list(prefix)} - {""}
        return tuple(self._entry(backup_id) for backup_id in sorted(ids, reverse=True))

    def _entry(self, backup_id: str) -> CommittedBackup:
        path = self.layout.commit(backup_id)
        try:
            manifest, text, commit = self._parts(backup_id)
        except Unreadable as error:
            return CommittedBackup(backup_id, path, str(error))
        return CommittedBackup(backup_id, path, None, manifest, text, commit)

    def _parts(self, backup_id: str) -> tuple[Manifest, bytes, Commit]:
        commit = read_commit(self._note(self.layout.commit(backup_id)))
        text = self._note(self.layout.manifest(backup_id))
        if hashlib.sha256(text).hexdigest() != commit.manifest_sha256:
            raise Unreadable("manifest: not the one that COMMIT names (its SHA-256 differs)")
        manifest = read_manifest(text)
        if (manifest.estate, manifest.backup_id, commit.backup_id) != (self.estate, backup_id, backup_id):
            raise Unreadable(f"manifest: of backup {manifest.backup_id} of {manifest.estate}, put in this place")
        return manifest, text, commit

    def _note(self, key: str) -> bytes:
        text = bytearray()
        for chunk in self.store.get(key):
            text += chunk
            if len(text) > LARGEST_NOTE:
                raise Unreadable(f"{key}: larger than {LARGEST_NOTE} bytes, which no manifest is")
        return bytes(text)

    def open(self, backup: CommittedBackup, private_pem: str | bytes) -> OpenBackup:
        """Return the backup, opened with a recipient's private half; no object of it is read yet.

        Raises Unreadable when it is damaged or sealed to others (the line names the key that was tried and those it
        is sealed to), UsageError when `private_pem` is no private key.
        """
        manifest, text, commit = backup.parts
        return open_backup(self.store, self.layout, manifest, text, commit, private_pem)

    def latest_valid(self, private_pem: str | bytes, progress: Progress | None = None) -> Selection:
        """Return the newest backup of which every segment authenticates; `progress` is told bytes as they are read.

        Raises NoValidBackup with the reason for each; HarnessError when the store fails, for then nothing is known.
        """
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
        raise NoValidBackup(f"estate {self.estate}: no valid backup: {reasons or 'none was ever committed here'}")

    def reap(self, older_than: float = ABANDONED) -> tuple[str, ...]:
        """Delete what uncommitted backups left behind, and return their names.

        One is left alone while its name, or the newest of its objects, is younger than `older_than` seconds. What
        is not laid out by us is never touched.
        """
        newest: dict[str, datetime] = {}
        for kind in ("intent", "data", "manifest"):
            for entry in self.store.list(self.layout.of(kind)):
                backup_id = self.layout.id_in(entry.key)
                begun = begun_at(backup_id)
                if begun is not None:
                    newest[backup_id] = max(newest.get(backup_id, begun), entry.modified)
        # Asked only now: a backup that was committed while we looked is on this list.
        kept = {self.layout.id_in(entry.key) for entry in self.store.list(self.layout.of("commit"))}
        limit = self.clock.wall() - timedelta(seconds=older_than)
        reaped = [name for name, last in sorted(newest.items()) if name not in kept and last <= limit]
        for backup_id in reaped:
            remove(self.store, self.layout, backup_id)
        for backup_id in sorted(set(newest) & kept):
            self.store.delete(self.layout.intent(backup_id))
        return tuple(reaped)
