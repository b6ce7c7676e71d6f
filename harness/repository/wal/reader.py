"""Reader of shipped WAL: yields authenticated files only."""

import hashlib
from dataclasses import dataclass, field

from harness.core.errors import Unreadable
from harness.pem import fingerprint
from harness.repository.catalogue import Repository
from harness.repository.format.layout import object_binding
from harness.repository.format.recipients import WRAPPED, read_private
from harness.repository.format.wal import WalList
from harness.repository.pipeline import Pipeline
from harness.repository.reader import checked_key, small_object
from harness.repository.wal.catalogue import Shipped, read_wal


def wal_key(repository: Repository, listed: WalList, private_pem: str | bytes) -> bytes:
    """Return the data key of a run of WAL. Raises UsageError (no key), Unreadable (not a recipient, altered)."""
    private = read_private(private_pem)
    tried = fingerprint(private.public_key())
    try:
        wrapped = small_object(repository.store, repository.layout.wal_keys(listed.run, tried), WRAPPED)
    except Unreadable:
        raise Unreadable(
            f"WAL of run {listed.run}: key {tried} does not open it; it was sealed to {', '.join(listed.recipients)}"
        ) from None
    place = (listed.cluster, listed.run)
    return checked_key(wrapped, private, place, listed.key_check, f"WAL of run {listed.run}")


@dataclass(slots=True)
class WalReader:
    """Reads files of the shipped WAL with a recipient's key; keeps the data keys of the runs. For several threads."""

    repository: Repository
    _private_pem: bytes = field(repr=False)
    _keys: dict[str, bytes] = field(default_factory=dict, repr=False)

    def read(self, shipped: Shipped) -> bytes:
        """Return the authentic bytes of a file. Raises Unreadable when they are not intact, HarnessError.

        A running receiver replaces its tail every few seconds: what replaced it is read, which has all that was in it.
        """
        while True:
            try:
                return self._read(shipped)
            except Unreadable:
                if (newer := self._replaced(shipped)) is None:
                    raise
                shipped = newer

    def _replaced(self, shipped: Shipped) -> Shipped | None:
        """Return what is listed of the segment of a tail by now, None where it is no tail or nothing newer is there."""
        entry = shipped.entry
        if not shipped.listed.tail or entry.is_history:
            return None
        listed = read_wal(self.repository, shipped.listed.cluster).segments.get((entry.timeline, entry.start), ())
        newer = [
            one for one in listed if one.entry.end > entry.end or (one.entry.end == entry.end and not one.listed.tail)
        ]
        return newer[0] if newer else None

    def _read(self, shipped: Shipped) -> bytes:
        entry, listed = shipped.entry, shipped.listed
        if (dek := self._keys.get(listed.run)) is None:
            dek = self._keys[listed.run] = wal_key(self.repository, listed, self._private_pem)
        key = self.repository.layout.wal(listed.run, entry.path)
        data = bytearray()
        try:
            bound = object_binding(listed.cluster, listed.run, entry.path)
            for chunk in Pipeline(self.repository.store).get(key, dek, bound):
                data += chunk
                if len(data) > entry.plain_size:
                    break
        except Unreadable as error:
            raise Unreadable(f"WAL {entry.name}: {error}") from None
        if len(data) != entry.plain_size or digest_of_plain(data) != entry.plain_sha256:
            raise Unreadable(f"WAL {entry.name}: {len(data)} bytes differ from the signed list")
        return bytes(data)


def digest_of_plain(data: bytes | bytearray) -> str:
    """Return the SHA-256 of a file's bytes, hex, as signed lists have it."""
    return hashlib.sha256(data).hexdigest()
