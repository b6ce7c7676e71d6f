"""Objects that are larger than a store allows: kept as several, `KEY`, `KEY+1`, `KEY+2` ..., each but the last full.

S3 stores take at most 10,000 parts of an upload. Larger parts would need more memory, so a large object is divided.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from harness.core.errors import Denied, Unreadable
from harness.repository.store.port import ObjectStore, StoredObject

PIECE = 128 << 30  # bytes: 8192 parts of 16 MiB; part of the format
NUMBERED = re.compile(r"(.+)\+[1-9][0-9]*", re.DOTALL)


def name_of(key: str, number: int) -> str:
    """Return the key of a piece, from 0."""
    return f"{key}+{number}" if number else key


@dataclass(frozen=True, slots=True)
class Pieces:
    """A store of which objects may have any size. Each method raises as that of `ObjectStore` does."""

    store: ObjectStore
    size: int = PIECE

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store one object and return its size in bytes. After a failure, pieces before it are left."""
        source, total = _Source(chunks), 0
        for number in count():
            total += self.store.put(name_of(key, number), source.next(self.size))
            if source.ended():
                break
        return total

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield at most `length` bytes (0: all) from `offset`."""
        (first, at), left = divmod(offset, self.size), length
        for number in count(first):
            done = 0
            try:
                for chunk in self.store.get(name_of(key, number), at, min(left, self.size - at)):
                    done += len(chunk)
                    yield chunk
            except Denied:
                raise  # it is there: nothing says that the piece before was the last
            except Unreadable:
                if number == first or done:
                    raise
                return  # the piece before was full, and the last one
            left -= min(left, done)
            if at + done < self.size or (length and not left):
                return
            at = 0

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield every object below `prefix`, sorted by key, with the size of all its pieces."""
        found = {one.key: one for one in self.store.list(prefix)}
        for one in tuple(found.values()):
            match = NUMBERED.fullmatch(one.key)
            whole = found.get(match.group(1)) if match else None
            if whole is not None:
                newest = max(whole.modified, one.modified)
                found[whole.key] = replace(whole, size=whole.size + one.size, modified=newest)
                del found[one.key]
        yield from found.values()


class _Source:
    """A stream that is read piece by piece."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = iter(chunks)
        self.rest = b""  # of the chunk that crossed the end of a piece

    def next(self, room: int) -> Iterator[bytes]:
        """Yield the next `room` bytes, fewer only at the end."""
        while room and not self.ended():
            chunk, self.rest = self.rest[:room], self.rest[room:]
            room -= len(chunk)
            yield chunk
            del chunk

    def ended(self) -> bool:
        """Return whether nothing is left, reading on until that is known."""
        while not self.rest:
            chunk = next(self.chunks, None)
            if chunk is None:
                return True
            self.rest = chunk
        return False
