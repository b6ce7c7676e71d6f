"""Writer of one backup: objects first, then the wrapped keys and the manifest, COMMIT last."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import version
from threading import Condition

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from harness import __version__
from harness.core.clock import Clock
from harness.core.contents import Contents
from harness.core.errors import BackupFailed, HarnessError
from harness.patience import PATIENCE
from harness.pem import fingerprint
from harness.repository.chain import Head
from harness.repository.format.commit import LARGEST_MANIFEST, BaseRange, Commit, Predecessor, digest_of, key_check
from harness.repository.format.frames import FRAME, compress, regroup
from harness.repository.format.layout import (
    FORMAT,
    Layout,
    check_path,
    key_binding,
    manifest_binding,
    new_id,
    object_binding,
    writer_binding,
)
from harness.repository.format.manifest import Manifest, ObjectEntry, canonical
from harness.repository.format.own import own_key
from harness.repository.format.recipients import read_recipients, wrap
from harness.repository.format.seal import KEY, seal
from harness.repository.pipeline import Pipeline, end
from harness.repository.read_back import read_back, write_small
from harness.repository.store.expunge import discard, remove
from harness.repository.store.pieces import Pieces
from harness.repository.store.port import Lockable, ObjectStore
from harness.signing import read_signing_key

OWN = "writer"  # claimed while the writer's own copy is stored
PROGRAMS = ("cryptography", "zstandard", "minio")


@dataclass(frozen=True, slots=True)
class Receipt:
    """Confirmation of a commit. `path`: key of COMMIT; sizes in bytes; `digest`: SHA-256 of COMMIT, hex.

    `sequence`: its number in the chain of the estate's backups.
    """

    backup_id: str
    path: str
    committed_at: datetime
    size: int
    plain_size: int
    digest: str
    contents: Contents
    sequence: int = 0
    locked_until: datetime | None = None


@dataclass(slots=True)
class Writer:
    """Writes one backup. `add` may be called from several threads at once."""

    store: ObjectStore
    layout: Layout
    cluster: str
    backup_id: str
    clock: Clock
    started: datetime
    wrapped: Mapping[str, bytes]  # fingerprint of each recipient -> the data key wrapped to it
    _signing_key: Ed25519PrivateKey = field(repr=False)
    _newest: Callable[[Ed25519PublicKey], tuple[Head, ...]] = field(repr=False)
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
        """Return the bytes read and the bytes stored so far. Readable from any thread."""
        return self._pipeline.counters.plain, self._pipeline.counters.stored

    @property
    def compressed(self) -> int:
        """Return the bytes so far after compression, before encryption."""
        return self._pipeline.counters.compressed

    def add(self, path: str, chunks: Iterable[bytes]) -> ObjectEntry:
        """Store `chunks` under `path`, read both ends back. Raises as `chunks`, HarnessError, BackupFailed."""
        key, bound = self.layout.data(self.backup_id, path), object_binding(self.cluster, self.backup_id, path)
        with self._claimed(check_path(path)):
            stored = self._pipeline.put(key, self._while_open(chunks), self._dek, bound)
            read_back(self.store, key, stored.stored_size, self._dek, bound)
            entry = ObjectEntry(path, stored.plain_size, stored.stored_size, stored.plain_sha256)
            with self._changed:
                self._require_open()
                self._entries[path] = entry
        return entry

    @contextmanager
    def _claimed(self, path: str) -> Iterator[None]:
        """Reserve the path, and count this thread as busy inside the block."""
        with self._changed:
            self._require_open()
            if path in self._entries:
                raise BackupFailed(f"backup {self.backup_id}: {path} was already added; use another path")
            self._entries[path] = None
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _while_open(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `chunks`; raises BackupFailed after an abort in another thread."""
        try:
            for chunk in chunks:
                self._require_open()
                yield chunk
        finally:
            end(chunks)

    def _require_open(self) -> None:
        if self._state != "open":
            raise BackupFailed(f"backup {self.backup_id}: is {self._state}; start another")

    def commit(self, contents: Contents, lock: timedelta | None = None) -> Receipt:
        """Write manifest and COMMIT; return the receipt. Raises BackupFailed for an incomplete object, HarnessError.

        `lock`: for how long the store keeps everything from being deleted; the store must be `Lockable`.
        """
        until = None if lock is None else self.clock.wall() + lock
        with self._changed:
            self._require_open()
            unfinished = [path for path, entry in self._entries.items() if entry is None]
            entries = tuple(e for _, e in sorted(self._entries.items()) if e is not None)
            if unfinished or not entries:
                raise BackupFailed(f"backup {self.backup_id}: incomplete: {', '.join(unfinished) or 'no objects'}")
            self._state = "committing"
        self._require_stored(entries)
        manifest = Manifest(
            estate=self.layout.estate,
            cluster=self.cluster,
            backup_id=self.backup_id,
            contents=contents,
            objects=entries,
            started=self.started,
            finished=self.clock.wall(),
            versions=(("blackstart", __version__), *((name, version(name)) for name in PROGRAMS)),
        )
        for name, key in self.wrapped.items():
            write_small(self.store, self.layout.keys(self.backup_id, name), key)
        commit = self._committing(manifest, until)
        if until is not None:
            for prefix in (self.layout.data(self.backup_id), self.layout.keys(self.backup_id)):
                for entry in self.store.list(prefix):
                    self._lock(entry.key, until)
            self._lock(self.layout.manifest(self.backup_id), until)
        text, path = commit.signed(self._signing_key), self.layout.commit(self.backup_id)
        self._commit_tried = True
        write_small(self.store, path, text)
        self._state = "committed"
        if until is not None:
            self._lock(path, until)
        with suppress(HarnessError):  # the backup is committed; `reap` deletes the intent later
            discard(self.store, self.layout.intent(self.backup_id))
        return Receipt(
            self.backup_id,
            path,
            manifest.finished,
            manifest.size,
            manifest.plain_size,
            digest_of(text),
            contents,
            commit.sequence,
            until,
        )

    def keep(self, text: bytes) -> None:
        """Store what the next incremental backup begins with, sealed to the writer itself. Raises HarnessError."""
        with self._claimed(OWN):
            key, bound = self.layout.writer(self.backup_id), writer_binding(self.cluster, self.backup_id)
            own = own_key(self._signing_key, self.cluster, self.backup_id)
            stored = self._pipeline.put(key, (text,), own, bound)
            read_back(self.store, key, stored.stored_size, own, bound)
            with self._changed:
                del self._entries[OWN]  # it is none of the backup's objects, which are sealed to its recipients

    def _lock(self, key: str, until: datetime) -> None:
        if not isinstance(self.store, Lockable):
            raise BackupFailed(f"{key}: this store has no object lock; set backup.lock_days to 0")
        self.store.lock(key, until)

    def _committing(self, manifest: Manifest, until: datetime | None) -> Commit:
        """Seal and store the manifest; return the COMMIT, which follows the newest backups there are."""
        text = manifest.to_json()
        if len(text) > LARGEST_MANIFEST:
            raise BackupFailed(f"backup {self.backup_id}: its manifest of {len(text)} bytes is too large to be read")
        frames = compress(regroup((text,), FRAME))
        sealed = b"".join(seal(frames, self._dek, manifest_binding(self.cluster, self.backup_id)))
        write_small(self.store, self.layout.manifest(self.backup_id), sealed)
        follows = self._newest(self._signing_key.public_key())
        return Commit(
            estate=manifest.estate,
            cluster=manifest.cluster,
            backup_id=manifest.backup_id,
            sequence=max((one.sequence for one in follows), default=0) + 1,
            follows=tuple(Predecessor(**asdict(one)) for one in follows),
            started=manifest.started,
            snapshot_at=manifest.contents.snapshot_at,
            finished=manifest.finished,
            manifest_sha256=digest_of(sealed),
            manifest_stored=len(sealed),
            manifest_plain=len(text),
            key_check=key_check(self._dek, self.cluster, self.backup_id),
            recipients=tuple(self.wrapped),
            stored_size=manifest.size,
            plain_size=manifest.plain_size,
            objects=len(manifest.objects),
            locked_until=until,
            base=_range_of(manifest.contents),
        )

    def _require_stored(self, entries: Sequence[ObjectEntry]) -> None:
        prefix = self.layout.data(self.backup_id)
        there = {entry.key.removeprefix(prefix): entry.size for entry in Pieces(self.store).list(prefix)}
        for entry in entries:
            if there.get(entry.path) != entry.stored_size:
                raise BackupFailed(
                    f"{prefix}{entry.path}: {entry.stored_size} bytes were stored, the store has "
                    f"{there.get(entry.path, 'none')}; does another program delete objects of this bucket?"
                )

    def abort(self) -> None:
        """Delete what was written unless committed; what the store refuses is left to `Repository.reap`."""
        with self._changed:
            if self._state in ("committed", "aborted"):
                return
            self._state = "aborted"
            # A stream that blocks in its source cannot be interrupted; what it stores later is left to `reap`.
            self._changed.wait_for(lambda: not self._busy, PATIENCE.backup_abort)
        with suppress(HarnessError):
            # COMMIT first: if it cannot be deleted, the rest must be kept as well.
            if self._commit_tried:
                discard(self.store, self.layout.commit(self.backup_id))
            remove(self.store, self.layout, self.backup_id)


def _range_of(contents: Contents) -> BaseRange | None:
    base = contents.physical
    if base is None:
        return None
    parent = None if base.parent is None else Predecessor(**asdict(base.parent))
    return BaseRange(timeline=base.timeline, start=base.start, stop=base.stop, parent=parent)


def begin(
    store: ObjectStore,
    layout: Layout,
    clock: Clock,
    cluster: str,
    recipients: Sequence[str | bytes],
    signing_key: str | bytes,
    newest: Callable[[Ed25519PublicKey], tuple[Head, ...]],
) -> Writer:
    """Write the intent and return the writer. Raises UsageError for bad keys, HarnessError of the store."""
    public, private = read_recipients(tuple(recipients)), read_signing_key(signing_key)
    backup_id, started = new_id(clock), clock.wall()
    dek = secrets.token_bytes(KEY)
    bound = key_binding(cluster, backup_id)
    wrapped = {fingerprint(key): wrap(dek, key, bound) for key in public}
    intent = {"format": FORMAT, "backup_id": backup_id, "cluster": cluster, "started": started, "frame": FRAME}
    store.put(layout.intent(backup_id), (canonical(intent),))
    return Writer(store, layout, cluster, backup_id, clock, started, wrapped, private, newest, dek)
