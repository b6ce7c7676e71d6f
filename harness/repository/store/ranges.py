"""Bytes of a large object in order, fetched as ranges by several connections at a time."""

from collections.abc import Iterator

from harness.core.parallel import in_order
from harness.repository.store.port import ObjectStore

RANGE = 8 << 20  # bytes of one request
AHEAD = 3  # ranges at a time; with the one that is read, four are in memory


def in_ranges(store: ObjectStore, key: str, size: int, begin: int = 0) -> Iterator[bytes]:
    """Yield the bytes from `begin` on of an object that should have `size` of them. Raises as `store.get`.

    An object that is longer shows it: one byte after the last is yielded as well.
    """

    def fetched(offset: int) -> list[bytes]:
        return list(store.get(key, offset, min(RANGE, size + 1 - offset)))

    for _, chunks in in_order(fetched, range(begin, size, RANGE), AHEAD):
        yield from chunks
        del chunks
