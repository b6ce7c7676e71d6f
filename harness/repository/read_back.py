"""Read-back of what was just stored: a store that lost or changed it is found before anything refers to it."""

from harness.core.errors import BackupFailed, Unreadable
from harness.repository.format.seal import HEADER, open_segment, place_of, segments_in
from harness.repository.store.pieces import Pieces
from harness.repository.store.port import ObjectStore


def read_back(store: ObjectStore, key: str, size: int, dek: bytes, bound: bytes) -> None:
    """Read the first and the last segment of a sealed object of `size` bytes back, and authenticate them.

    Raises BackupFailed when they are not there or are not authentic, HarnessError of the store.
    """
    whole = Pieces(store)
    sizes = [entry.size for entry in whole.list(key) if entry.key == key]
    if sizes != [size]:
        raise BackupFailed(f"{key}: {size} bytes were stored; the store lists {sizes or 'no such object'}")
    try:
        header, count = b"".join(whole.get(key, 0, HEADER)), segments_in(size)
        for index in sorted({0, count - 1}):
            place = place_of(index, size)
            segment = b"".join(whole.get(key, place.offset, place.length))
            open_segment(header, segment, index, last=index == count - 1, key=dek, associated=bound)
    except Unreadable as error:
        raise BackupFailed(f"{key}: {size} bytes were stored and cannot be read back: {error}") from error


def write_small(store: ObjectStore, key: str, text: bytes) -> None:
    """Store a small object and read it back. Raises BackupFailed when other bytes come back, HarnessError."""
    store.put(key, (text,))
    if b"".join(store.get(key)) != text:
        raise BackupFailed(f"{key}: the store returned other bytes than were written")
