"""Writing one backup: objects first, then the manifest, COMMIT last."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from threading import Condition

from harness.core.clock import Clock
from harness.core.contents import Contents
from harness.core.errors import BackupFailed, HarnessError, Unreadable
from harness.patience import PATIENCE
from harness.repository.format.frames import FRAME
from harness.repository.format.layout import FORMAT, Layout, check_path, key_binding, new_id, object_binding
from harness.repository.format.manifest import Manifest, ObjectEntry, WrappedKey, canonical, commit_of
from harness.repository.format.recipients import fingerprint, read_recipients, wrap
from harness.repository.format.seal import HEADER, KEY, open_segment, place_of, segments_in
from harness.repository.pipeline import Pipeline, Stored, end
from harness.repository.store.port import ObjectStore

PROGRAMS = ("blackstart", "cryptography", "zstandard", "minio")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The store's confirmation. `path`: key of the COMMIT; sizes in bytes; `digest`: SHA-256 of the manifest, hex."""

    backup_id: str
    path: str
    committed_at: datetime
    size: int
    plain_size: int
    digest: str


@dataclass(slots=True)
class Writer:
    """One backup being written. `add` may be called from several threads at once."""

    store: ObjectStore
    layout: Layout
    cluster: str
    backup_id: str
    clock: Clock
    started: datetime
    recipients: tuple[WrappedKey, ...]
    _dek: bytes = field(repr=False)
    _pipeline: Pipeline = field(init=False)
    _entries: dict[str, ObjectEntry | None] = field(default_factory=dict)
    _changed: Condition = field(default_factory=Condition)
    _busy: int = 0
    _state: str = "open"
    _commit_tried: bool = False

    def __post_init__(self) -> None:
        self._pipeline = Pipeline(self.store)

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes read and bytes taken by the store so far. Readable from any thread."""
        return self._pipeline.counters.plain, self._pipeline.counters.stored

    @property
    def compressed(self) -> int:
        """Bytes that compression has made of those read, before sealing."""
        return self._pipeline.counters.compressed

    def add(self, path: str, chunks: Iterable[bytes]) -> ObjectEntry:
        """Compress, seal and store `chunks` under `path`, read its ends back, and return what the manifest will say.

        Raises what `chunks` raises, HarnessError when the store fails, BackupFailed when it kept something else.
        """
        key, bound = self.layout.data(self.backup_id, path), object_binding(self.cluster, self.backup_id, path)
        with self._claimed(check_path(path)):
            stored = self._pipeline.put(key, self._while_open(chunks), self._dek, bound)
            self._read_back(key, bound, stored)
            entry = ObjectEntry(path, stored.plain_size, stored.stored_size, stored.plain_sha256)
            with self._changed:
                self._require_open()
                self._entries[path] = entry
        return entry

    @contextmanager
    def _claimed(self, path: str) -> Iterator[None]:
        """Take the path, and count as busy until the block ends."""
        with self._changed:
            self._require_open()
            if path in self._entries:
                raise BackupFailed(f"backup {self.backup_id}: {path} was added already; each path once")
            self._entries[path] = None
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _while_open(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `chunks`; an abort ends the other streams here."""
        try:
            for chunk in chunks:
                self._require_open()
                yield chunk
        finally:
            end(chunks)

    def _require_open(self) -> None:
        if self._state != "open":
            raise BackupFailed(f"backup {self.backup_id}: is {self._state}; begin another")

    def _read_back(self, key: str, bound: bytes, stored: Stored) -> None:
        """Fetch the first and the last segment again and authenticate them."""
        size = stored.stored_size
        sizes = [entry.size for entry in self.store.list(key) if entry.key == key]
        if sizes != [size]:
            raise BackupFailed(f"{key}: {size} bytes were stored; the store lists {sizes or 'no such object'}")
        try:
            header, count = b"".join(self.store.get(key, 0, HEADER)), segments_in(size)
            for index in sorted({0, count - 1}):
                place = place_of(index, size)
                segment = b"".join(self.store.get(key, place.offset, place.length))
                open_segment(header, segment, index, last=index == count - 1, key=self._dek, associated=bound)
        except Unreadable as error:
            raise BackupFailed(f"{key}: {size} bytes were stored and cannot be read back: {error}") from error

    def commit(self, contents: Contents) -> Receipt:
        """Write the manifest, then COMMIT, and return the confirmation. Only now is the backup listed.

        Raises BackupFailed when an object is unfinished, missing or of another size, HarnessError of the store.
        """
        with self._changed:
            self._require_open()
            unfinished = [path for path, entry in self._entries.items() if entry is None]
            entries = tuple(e for _, e in sorted(self._entries.items()) if e is not None)
            if unfinished or not entries:
                raise BackupFailed(f"backup {self.backup_id}: not complete: {', '.join(unfinished) or 'it is empty'}")
            self._state = "being committed"
        self._require_stored(entries)
        manifest = Manifest(
            estate=self.layout.estate,
            cluster=self.cluster,
            backup_id=self.backup_id,
            contents=contents,
            objects=entries,
            recipients=self.recipients,
            started=self.started,
            finished=self.clock.wall(),
            versions=tuple((name, version(name)) for name in PROGRAMS),
        )
        text = manifest.to_json()
        note = commit_of(self.backup_id, text, self._dek)
        place, path = self.layout.manifest(self.backup_id), self.layout.commit(self.backup_id)
        self._write(place, text)
        self._commit_tried = True
        self._write(path, note.to_json())
        self._state = "committed"
        with suppress(HarnessError):  # a backup that is committed does not fail for the sake of a note
            self.store.delete(self.layout.intent(self.backup_id))
        return Receipt(
            self.backup_id, path, manifest.finished, manifest.size, manifest.plain_size, note.manifest_sha256
        )

    def _require_stored(self, entries: Sequence[ObjectEntry]) -> None:
        prefix = self.layout.data(self.backup_id)
        there = {entry.key.removeprefix(prefix): entry.size for entry in self.store.list(prefix)}
        for entry in entries:
            if there.get(entry.path) != entry.stored_size:
                raise BackupFailed(
                    f"{prefix}{entry.path}: {entry.stored_size} bytes were stored, {there.get(entry.path, 'none')} "
                    "are there; is something else cleaning this bucket?"
                )

    def _write(self, key: str, text: bytes) -> None:
        self.store.put(key, (text,))
        if b"".join(self.store.get(key)) != text:
            raise BackupFailed(f"{key}: the store gave back something else than was written")

    def abort(self) -> None:
        """Delete all that was written, as far as the store lets us; raises nothing of the store's.

        A committed backup is left alone. What cannot be deleted now is for `Repository.reap`.
        """
        with self._changed:
            if self._state in ("committed", "aborted"):
                return
            self._state = "aborted"
            # A stream that waits for its source cannot be called back; what it still stores is reaped later.
            self._changed.wait_for(lambda: not self._busy, PATIENCE.backup_abort)
        with suppress(HarnessError):
            # COMMIT first: if it cannot be taken back, it must stay true, so the rest stays as well.
            if self._commit_tried:
                self.store.delete(self.layout.commit(self.backup_id))
            remove(self.store, self.layout, self.backup_id)


def begin(store: ObjectStore, layout: Layout, clock: Clock, cluster: str, recipients: Sequence[str | bytes]) -> Writer:
    """Write the intent and return the writer; raises UsageError for recipients that will not do."""
    public = read_recipients(tuple(recipients))
    backup_id, started = new_id(clock), clock.wall()
    dek = secrets.token_bytes(KEY)
    bound = key_binding(cluster, backup_id)
    wrapped = tuple(WrappedKey(fingerprint(key), wrap(dek, key, bound)) for key in public)
    intent = {"format": FORMAT, "backup_id": backup_id, "cluster": cluster, "started": started, "frame": FRAME}
    store.put(layout.intent(backup_id), (canonical(intent),))
    return Writer(store, layout, cluster, backup_id, clock, started, wrapped, dek)


def remove(store: ObjectStore, layout: Layout, backup_id: str) -> None:
    """Delete what there is of a backup that has no COMMIT; the intent last, so that a later reaping finds the rest."""
    store.abandon(layout.data(backup_id))
    for entry in list(store.list(layout.data(backup_id))):
        store.delete(entry.key)
    store.delete(layout.manifest(backup_id))
    store.delete(layout.intent(backup_id))
