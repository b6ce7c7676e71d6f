"""Reader of one backup: yields authenticated plaintext only."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from harness.core.errors import NotARecipient, Unreadable
from harness.pem import fingerprint
from harness.repository.format.commit import Commit, digest_of, key_check
from harness.repository.format.frames import FRAME, decompress
from harness.repository.format.layout import (
    FORMAT,
    Layout,
    key_binding,
    manifest_binding,
    object_binding,
    writer_binding,
)
from harness.repository.format.manifest import Manifest, ObjectEntry, read_manifest
from harness.repository.format.own import own_key
from harness.repository.format.recipients import WRAPPED, read_private, unwrap
from harness.repository.format.seal import open_sealed, reader_of
from harness.repository.pipeline import BEGIN, Begun, Pipeline, Start, Stream
from harness.repository.store.port import ObjectStore
from harness.repository.store.ranges import RANGE

Progress = Callable[[int], None]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenBackup:
    """A backup whose data key is unwrapped and whose manifest is authentic. `form`: name of its format."""

    manifest: Manifest
    store: ObjectStore = field(repr=False)
    layout: Layout = field(repr=False)
    _dek: bytes = field(repr=False)
    _pipeline: Pipeline = field(repr=False)
    form: str = FORMAT

    @property
    def backup_id(self) -> str:
        """Return its name."""
        return self.manifest.backup_id

    def read(
        self, path: str, progress: Progress | None = None, start: Start = BEGIN, begun: Begun | None = None
    ) -> Iterator[bytes]:
        """Yield one object's plaintext. Raises Unreadable when it is not intact (discard all), HarnessError.

        `start`: a frame of it from which on it is read: each segment authenticates itself, the digest of the whole is
        not compared then. `begun`: is told of each frame that begins.
        """
        entry = self.manifest.entry(path)
        plain = self._checked(entry, start, begun)
        if entry.stored_size <= RANGE:
            yield from plain if progress is None else _told(plain, progress)
            return
        with Stream(self._pipeline.budget) as stream, closing(stream.ahead(plain)) as chunks:
            yield from chunks if progress is None else _told(chunks, progress)

    def _checked(self, entry: ObjectEntry, start: Start, begun: Begun | None) -> Generator[bytes, None, None]:
        """Yield one object's plaintext, which is compared with the manifest at its end. Raises as `read` does."""
        digest, size = hashlib.sha256(), start.frame * FRAME
        key, bound = self._place(entry.path)
        with closing(
            self._named(entry.path, self._pipeline.get(key, self._dek, bound, entry.stored_size, start, begun))
        ) as plain:
            for chunk in plain:
                digest.update(chunk)
                size += len(chunk)
                if size > entry.plain_size:
                    break
                yield chunk
        if size != entry.plain_size or (not start.frame and digest.hexdigest() != entry.plain_sha256):
            raise Unreadable(f"{self._called(entry.path)}: plaintext of {size} bytes differs from the manifest")

    def verify(self, progress: Progress | None = None) -> int:
        """Authenticate every segment; return the bytes that were read. Raises Unreadable, HarnessError of the store."""
        total = 0
        for entry in self.manifest.objects:
            key, bound = self._place(entry.path)
            size = 0
            with closing(
                self._named(entry.path, self._pipeline.authenticate(key, self._dek, bound, entry.stored_size))
            ) as counts:
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
        bound = object_binding(manifest.cluster, manifest.backup_id, path, self.form)
        return self.layout.data(manifest.backup_id, path), bound

    def _called(self, path: str) -> str:
        return f"backup {self.backup_id}, object {path}"

    def _named(self, path: str, source: Generator[T, None, None]) -> Generator[T, None, None]:
        try:
            yield from source
        except Unreadable as error:
            raise Unreadable(f"{self._called(path)}: {error}") from None


def _told(chunks: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for chunk in chunks:
        progress(len(chunk))
        yield chunk


def data_key(store: ObjectStore, layout: Layout, commit: Commit, private_pem: str | bytes) -> bytes:
    """Return the data key of a backup. Raises UsageError (no key), Unreadable (not a recipient, altered)."""
    private = read_private(private_pem)
    tried = fingerprint(private.public_key())
    try:
        wrapped = small_object(store, layout.keys(commit.backup_id, tried), WRAPPED)
    except Unreadable as error:
        if tried in commit.recipients:
            reason = "it was removed by `keys rewrap`, or deleted from the repository"
            raise Unreadable(
                f"backup {commit.backup_id}: its data key for {tried} is not there ({error}): {reason}"
            ) from None
        raise NotARecipient(
            f"backup {commit.backup_id}: key {tried} does not open it; it is sealed to {', '.join(commit.recipients)}"
        ) from None
    place = (commit.cluster, commit.backup_id)
    return checked_key(wrapped, private, place, commit.key_check, f"backup {commit.backup_id}")


def checked_key(wrapped: bytes, private: X25519PrivateKey, place: tuple[str, str], check: str, what: str) -> bytes:
    """Return the data key in `wrapped`, which `check` proves. `place`: database system and name of backup or run.

    Raises Unreadable, naming `what` it belongs to, for a key of other data.
    """
    dek = unwrap(wrapped, private, key_binding(*place))
    if key_check(dek, *place) != check:
        tried = fingerprint(private.public_key())
        raise Unreadable(f"{what}: the wrapped key of {tried} is of other data: replaced")
    return dek


def open_backup(store: ObjectStore, layout: Layout, commit: Commit, private_pem: str | bytes) -> OpenBackup:
    """Open the manifest of a signed COMMIT; return its backup. Raises UsageError (no key), Unreadable."""
    dek = data_key(store, layout, commit, private_pem)
    name, place = f"backup {commit.backup_id}, manifest", (commit.cluster, commit.backup_id)
    sealed = small_object(store, layout.manifest(commit.backup_id), commit.manifest_stored)
    if digest_of(sealed) != commit.manifest_sha256:
        raise Unreadable(f"{name}: SHA-256 differs from the one in COMMIT")
    try:
        plain = decompress(open_sealed(reader_of((sealed,)), dek, manifest_binding(*place)))
        manifest = read_manifest(_bounded(plain, commit.manifest_plain))
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}") from None
    if (manifest.estate, manifest.cluster, manifest.backup_id) != (commit.estate, *place):
        raise Unreadable(f"{name}: belongs to backup {manifest.backup_id} of estate {manifest.estate}")
    return OpenBackup(manifest, store, layout, dek, Pipeline(store))


def read_own(store: ObjectStore, layout: Layout, commit: Commit, signing_key: Ed25519PrivateKey) -> bytes:
    """Return what a writer sealed to itself with a backup. Raises Unreadable (not there, altered, another writer's)."""
    own = own_key(signing_key, commit.cluster, commit.backup_id)
    bound = writer_binding(commit.cluster, commit.backup_id)
    return b"".join(Pipeline(store).get(layout.writer(commit.backup_id), own, bound))


def small_object(store: ObjectStore, key: str, limit: int) -> bytes:
    """Return an object of at most `limit` bytes; raises Unreadable when it is larger or does not exist."""
    try:
        return _bounded(store.get(key), limit)
    except TooLarge as error:
        raise Unreadable(f"{key}: {error}") from None


class TooLarge(Unreadable):
    """More bytes than were to be expected."""


def _bounded(chunks: Iterable[bytes], limit: int) -> bytes:
    text = bytearray()
    for chunk in chunks:
        text += chunk
        if len(text) > limit:
            raise TooLarge(f"larger than the limit of {limit} bytes")
    return bytes(text)
