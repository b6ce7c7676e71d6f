"""Reader of one backup: yields authenticated plaintext only."""

import hashlib
import hmac
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from harness.core.errors import Unreadable
from harness.repository.format.layout import Layout, key_binding, object_binding
from harness.repository.format.manifest import Commit, Manifest, manifest_hmac
from harness.repository.format.recipients import fingerprint, read_private, unwrap
from harness.repository.pipeline import Pipeline
from harness.repository.store.port import ObjectStore

Progress = Callable[[int], None]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenBackup:
    """A backup whose data key is unwrapped and whose manifest is authenticated by it."""

    manifest: Manifest
    store: ObjectStore = field(repr=False)
    layout: Layout = field(repr=False)
    _dek: bytes = field(repr=False)
    _pipeline: Pipeline = field(repr=False)

    @property
    def backup_id(self) -> str:
        """Return its name."""
        return self.manifest.backup_id

    def read(self, path: str, progress: Progress | None = None) -> Iterator[bytes]:
        """Yield one object's plaintext. Raises Unreadable when it is not intact (discard all), HarnessError."""
        entry, digest, size = self.manifest.entry(path), hashlib.sha256(), 0
        key, bound = self._place(path)
        with closing(self._named(path, self._pipeline.get(key, self._dek, bound))) as plain:
            for chunk in plain:
                digest.update(chunk)
                size += len(chunk)
                if progress is not None:
                    progress(len(chunk))
                yield chunk
        if size != entry.plain_size or digest.hexdigest() != entry.plain_sha256:
            raise Unreadable(f"{self._called(path)}: plaintext of {size} bytes differs from the manifest")

    def verify(self, progress: Progress | None = None) -> int:
        """Authenticate every segment; return the bytes that were read. Raises Unreadable, HarnessError of the store."""
        total = 0
        for entry in self.manifest.objects:
            key, bound = self._place(entry.path)
            size = 0
            with closing(self._named(entry.path, self._pipeline.authenticate(key, self._dek, bound))) as counts:
                for count in counts:
                    size += count
                    if progress is not None:
                        progress(count)
            if size != entry.stored_size:
                raise Unreadable(f"{self._called(entry.path)}: {size} bytes are stored instead of {entry.stored_size}")
            total += size
        return total

    def _place(self, path: str) -> tuple[str, bytes]:
        manifest = self.manifest
        return self.layout.data(manifest.backup_id, path), object_binding(manifest.cluster, manifest.backup_id, path)

    def _called(self, path: str) -> str:
        return f"backup {self.backup_id}, object {path}"

    def _named(self, path: str, source: Generator[T, None, None]) -> Generator[T, None, None]:
        try:
            yield from source
        except Unreadable as error:
            raise Unreadable(f"{self._called(path)}: {error}") from None


def open_backup(
    store: ObjectStore, layout: Layout, manifest: Manifest, text: bytes, commit: Commit, private_pem: str | bytes
) -> OpenBackup:
    """Authenticate the manifest `text` and return its backup. Raises UsageError (no key), Unreadable (wrong key)."""
    private = read_private(private_pem)
    tried = fingerprint(private.public_key())
    for recipient in manifest.recipients:
        if recipient.fingerprint != tried:
            continue
        dek = unwrap(recipient.wrapped, private, key_binding(manifest.cluster, manifest.backup_id))
        if not hmac.compare_digest(manifest_hmac(text, dek), commit.manifest_hmac):
            raise Unreadable(f"backup {manifest.backup_id}: the manifest was altered after COMMIT (its HMAC differs)")
        return OpenBackup(manifest, store, layout, dek, Pipeline(store))
    sealed_to = ", ".join(r.fingerprint for r in manifest.recipients)
    raise Unreadable(f"backup {manifest.backup_id}: key {tried} does not open it; it is sealed to {sealed_to}")
