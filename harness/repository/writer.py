"""One backup being written: intent, data, read-back, manifest, COMMIT last."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from harness.core.clock import Clock
from harness.core.contents import Contents
from harness.core.errors import HarnessError
from harness.repository import keys, seal
from harness.repository.frames import compress
from harness.repository.layout import Layout, associated, wrap_info
from harness.repository.manifest import Manifest, ObjectEntry, WrappedKey, authentication
from harness.repository.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Receipt:
    """The store's confirmation: where the COMMIT lies, when it was written, stored and plain bytes, manifest's SHA-256."""

    backup_id: str
    path: str
    committed_at: datetime
    size: int
    plain_size: int
    digest: str


@dataclass(slots=True)
class Writer:
    """Writes one backup. `add` may be called from several threads at once."""

    store: ObjectStore
    layout: Layout
    cluster: str
    recipients: Sequence[X25519PublicKey]
    clock: Clock
    started: datetime
    compressed: int = 0
    _plain: int = 0
    _stored: int = 0
    _key: bytes = field(default_factory=lambda: os.urandom(seal.KEY), repr=False)
    _objects: list[ObjectEntry] = field(default_factory=list)
    _touched: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    @property
    def progress(self) -> tuple[int, int]:
        """Plain bytes read and sealed bytes handed to the store so far."""
        return self._plain, self._stored

    def begin(self) -> None:
        """Write the intent, before anything else."""
        text = json.dumps({"backup_id": self.layout.backup_id, "started": self.started.isoformat()})
        self._put(self.layout.intent, [text.encode()])

    def add(self, path: str, chunks: Iterable[bytes]) -> ObjectEntry:
        """Compress, seal and store one stream; read back its two ends. Raises HarnessError."""
        digest, plain = hashlib.sha256(), 0

        def read() -> Iterator[bytes]:
            nonlocal plain
            for chunk in chunks:
                digest.update(chunk)
                plain += len(chunk)
                with self._lock:
                    self._plain += len(chunk)
                yield chunk

        bound = associated(self.cluster, self.layout.backup_id, path)
        sealed = seal.seal(self._counted("compressed", compress(read())), self._key, bound)
        key = self.layout.data(path)
        size = self._put(key, self._counted("_stored", sealed))
        seal.sample(lambda at, count: b"".join(self.store.get(key, at, count)), size, self._key, bound, path)
        entry = ObjectEntry(path, plain, size, digest.hexdigest())
        with self._lock:
            self._objects.append(entry)
        return entry

    def _counted(self, name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            with self._lock:
                setattr(self, name, getattr(self, name) + len(chunk))
            yield chunk

    def _put(self, key: str, chunks: Iterable[bytes]) -> int:
        with self._lock:
            self._touched.add(key)
        return self.store.put(key, chunks)

    def commit(self, contents: Contents) -> Receipt:
        """Write the manifest, then COMMIT; only from then on is the backup listed. Raises HarnessError."""
        info = wrap_info(self.cluster, self.layout.backup_id)
        wrapped = tuple(WrappedKey(keys.fingerprint(r), keys.wrap(self._key, r, info).hex()) for r in self.recipients)
        manifest = Manifest(
            self.layout.estate,
            self.layout.backup_id,
            self.started,
            self.clock.wall(),
            contents,
            tuple(sorted(self._objects, key=lambda entry: entry.path)),
            wrapped,
        )
        text = manifest.to_bytes()
        digest = hashlib.sha256(text).hexdigest()
        self._put(self.layout.manifest, [text])
        committed_at = self.clock.wall()
        commit = {
            "backup_id": self.layout.backup_id,
            "committed_at": committed_at.isoformat(),
            "manifest_sha256": digest,
            "manifest_hmac": authentication(self._key, text),
        }
        self._put(self.layout.commit, [json.dumps(commit).encode()])
        # The backup stands: an intent that cannot be removed now is reaped later.
        with contextlib.suppress(HarnessError):
            self.store.delete(self.layout.intent)
        size = sum(entry.stored_size for entry in self._objects)
        plain = sum(entry.plain_size for entry in self._objects)
        return Receipt(self.layout.backup_id, self.layout.commit, committed_at, size, plain, digest)

    def abort(self) -> None:
        """Remove all that was written, COMMIT first, as far as the store allows; raises nothing of its own."""
        for key in (self.layout.commit, self.layout.manifest, *sorted(self._touched)):
            # What cannot be removed is not listed, and is reaped by a later run.
            with contextlib.suppress(HarnessError):
                self.store.delete(key)
