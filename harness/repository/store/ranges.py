"""Large sealed objects: ranges are fetched by several connections at a time, each opened in its own thread."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.errors import Unreadable
from harness.core.parallel import in_order
from harness.repository.format.seal import HEADER, SEGMENT, open_segments
from harness.repository.store.pieces import Pieces
from harness.repository.store.port import ObjectStore

RANGE = 4 << 20  # bytes of one request: some segments
AHEAD = 3  # ranges at a time; with the one that is read, four are in memory


@dataclass(frozen=True, slots=True)
class Opened:
    """A range. `fetched`: bytes of it in the store; `plain`: the authentic plaintext of its segments."""

    fetched: int
    plain: tuple[bytes, ...]


def opened(
    store: ObjectStore | Pieces, key: str, size: int, dek: bytes, associated: bytes, first: int = 0
) -> Iterator[Opened]:
    """Yield the ranges of an object that should have `size` bytes, in order, from its segment `first` on.

    Raises Unreadable for one that is not authentic, is shorter or longer, or is not there; HarnessError of the store.
    """
    header = b"".join(store.get(key, 0, HEADER))

    def fetched(start: int) -> Opened:
        begin, end = max(start, HEADER), min(start + RANGE, size)
        last = end == size
        # One byte more than the object should have: one that is longer does not authenticate.
        body = b"".join(store.get(key, begin, end - begin + (1 if last else 0)))
        plain = tuple(open_segments(header, body, start // SEGMENT, last=last, key=dek, associated=associated))
        if len(body) != end - begin:  # each segment may be authentic, and others be missing after them
            raise Unreadable(f"{len(body)} bytes instead of {end - begin} at byte {begin}: truncated")
        return Opened(end - start, plain)

    for _, found in in_order(fetched, range(first * SEGMENT, size, RANGE), AHEAD):
        yield found
        del found
