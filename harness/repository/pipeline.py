"""Pipeline of a backup: a reader thread, compression workers, an encryption thread and the upload.

The bytes between stages are limited by one budget, which all streams of a backup share, so that memory use does not
grow with the data. The first failure of any stage ends all stages and is the one that is raised.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from threading import BoundedSemaphore, Condition, Lock, Thread

from harness.core.errors import HarnessError
from harness.patience import PATIENCE
from harness.repository.format.frames import FRAME, compress, decompress, regroup
from harness.repository.format.seal import HEADER, SEGMENT, open_sealed, reader_of, seal, segment_of
from harness.repository.store.pieces import Pieces
from harness.repository.store.port import ObjectStore
from harness.repository.store.ranges import RANGE, opened

BUDGET = 24 << 20  # bytes between stages, over all streams
UPLOADS = 2  # streams at a time; each keeps parts and frames in addition to the budget
WORKERS = 2
# Parameters from malloc.h of the GNU C library: M_ARENA_MAX; M_MMAP_THRESHOLD, bytes, the largest that there is;
# M_TRIM_THRESHOLD, bytes that stay free.
HEAP = {-8: 1, -3: 32 << 20, -1: 64 << 20}


class _Over(HarnessError):
    """The stream has ended: another stage failed, or the consumer stopped."""


@dataclass(slots=True)
class Budget:
    """Limit of the bytes between stages. `used`: the bytes now; `peak`: the maximum so far."""

    limit: int = BUDGET
    used: int = 0
    peak: int = 0
    changed: Condition = field(default_factory=Condition)


@dataclass(slots=True)
class Counters:
    """Bytes over all streams: read, compressed, and taken by the store. Readable from any thread."""

    plain: int = 0
    compressed: int = 0
    stored: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, *, plain: int = 0, compressed: int = 0, stored: int = 0) -> None:
        """Add to the counters."""
        with self._lock:
            self.plain += plain
            self.compressed += compressed
            self.stored += stored


class _Queue:
    """Chunks between two stages. An exception of the producer is passed to the consumer."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.budget = stream, stream.budget
        self.chunks: deque[bytes] = deque()
        self.ended = False
        self.failure: BaseException | None = None

    def fill(self, source: Iterable[bytes]) -> None:
        """Run the stage `source` until it or the stream ends; its exception is raised by `take`."""
        try:
            chunks = iter(source)
            try:
                for chunk in chunks:
                    self._put(chunk)
                    del chunk
            finally:
                end(chunks)
        except BaseException as error:  # noqa: BLE001 - raised again by `take`
            self.failure = error
        with self.budget.changed:
            self.ended = True
            self.budget.changed.notify_all()

    def _put(self, chunk: bytes) -> None:
        budget, size = self.budget, len(chunk)
        with budget.changed:
            # An empty queue accepts one chunk regardless of the budget, so that no stage can block another forever.
            budget.changed.wait_for(lambda: self.stream.over or not self.chunks or budget.used + size <= budget.limit)
            if self.stream.over:
                raise _Over
            self.chunks.append(chunk)
            budget.used += size
            budget.peak = max(budget.peak, budget.used)
            budget.changed.notify_all()

    def take(self) -> bytes | None:
        """Return the next chunk, None at the end; raises what the producer raised."""
        budget = self.budget
        with budget.changed:
            budget.changed.wait_for(lambda: self.stream.over or self.chunks or self.ended)
            if self.stream.over:
                raise _Over
            if self.chunks:
                chunk = self.chunks.popleft()
                budget.used -= len(chunk)
                budget.changed.notify_all()
                return chunk
        if self.failure is not None:
            raise self.failure
        return None

    def discard(self) -> None:
        """Drop the remaining chunks and return their bytes to the budget."""
        with self.budget.changed:
            self.budget.used -= sum(map(len, self.chunks))
            self.chunks.clear()
            self.budget.changed.notify_all()


class Stream:
    """The stages of one object. Leaving its `with` block ends all of them."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.over = False
        self._queues: list[_Queue] = []
        self._threads: list[Thread] = []

    def ahead(self, source: Iterable[bytes]) -> Generator[bytes, None, None]:
        """Yield what `source` yields, produced ahead in a separate thread; raises what `source` raises."""
        queue = _Queue(self)
        thread = Thread(target=queue.fill, args=(source,), daemon=True, name="stage")
        self._queues.append(queue)
        self._threads.append(thread)
        thread.start()
        while (chunk := queue.take()) is not None:
            yield chunk
            del chunk

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_details: object) -> None:
        with self.budget.changed:
            self.over = True
            self.budget.changed.notify_all()
        for thread in self._threads:
            # A stage that blocks in its source cannot be interrupted; it ends when the source returns.
            thread.join(PATIENCE.pipeline_end)
        for queue in self._queues:
            queue.discard()


@dataclass(frozen=True, slots=True)
class Stored:
    """Sizes of one stored object: bytes read, bytes stored, and the SHA-256 of the bytes read, hex."""

    plain_size: int
    stored_size: int
    plain_sha256: str


@dataclass(frozen=True, slots=True)
class Start:
    """A frame of an object, and how many bytes of compressed frames come before it."""

    frame: int = 0
    position: int = 0


BEGIN = Start()
Begun = Callable[[Start], None]


@dataclass(slots=True)
class Pipeline:
    """Writes streams to a store and reads them back. One pipeline for each backup; its streams share the budget."""

    store: ObjectStore
    budget: Budget = field(default_factory=Budget)
    counters: Counters = field(default_factory=Counters)
    _slots: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(UPLOADS))

    def __post_init__(self) -> None:
        share_one_heap()

    def put(self, key: str, chunks: Iterable[bytes], dek: bytes, associated: bytes) -> Stored:
        """Store `chunks` as one object, or nothing; return sizes and digest. Raises as `chunks`, or HarnessError."""
        digest, count, own = hashlib.sha256(), self.counters, Counters()

        def read() -> Iterator[bytes]:
            try:
                for block in regroup(chunks, FRAME):
                    digest.update(block)
                    own.add(plain=len(block))
                    count.add(plain=len(block))
                    yield block
                    del block
            finally:
                end(chunks)

        def packed(blocks: Iterable[bytes]) -> Iterator[bytes]:
            for frame in compress(blocks, WORKERS):
                count.add(compressed=len(frame))
                yield frame
                del frame

        def taken(sealed: Iterable[bytes]) -> Iterator[bytes]:
            for segment in sealed:
                count.add(stored=len(segment))
                yield segment

        with self._slots, Stream(self.budget) as stream:
            sealed = seal(packed(stream.ahead(read())), dek, associated)
            stored = Pieces(self.store).put(key, taken(stream.ahead(sealed)))
        return Stored(own.plain, stored, digest.hexdigest())

    def get(
        self, key: str, dek: bytes, associated: bytes, size: int = 0, start: Start = BEGIN, begun: Begun | None = None
    ) -> Generator[bytes, None, None]:
        """Yield an object's authenticated plaintext. Raises Unreadable when it is missing or altered, HarnessError.

        `size`: of the stored object, which is then fetched by several connections; 0: not known. `start`: a frame from
        which on it is read; `begun`: is told of each frame that begins.
        """
        index, skip = segment_of(start.position)
        told = None if begun is None else lambda number, at: begun(Start(number, at))
        with Stream(self.budget) as stream:
            if size > RANGE:
                ranges = opened(Pieces(self.store), key, size, dek, associated, index)
                segments = (segment for one in ranges for segment in one.plain)
            else:
                segments = self._one_by_one(stream, key, dek, associated, index)
            yield from decompress(without(segments, skip), start.frame, told, start.position, WORKERS)

    def _one_by_one(
        self, stream: Stream, key: str, dek: bytes, associated: bytes, index: int
    ) -> Generator[bytes, None, None]:
        """Yield the segments of an object from number `index` on, as they come over one connection."""
        header = b"".join(Pieces(self.store).get(key, 0, HEADER)) if index else b""
        source = reader_of(stream.ahead(Pieces(self.store).get(key, index * SEGMENT)))
        yield from open_sealed(source, dek, associated, header, index)

    def authenticate(self, key: str, dek: bytes, associated: bytes, size: int = 0) -> Generator[int, None, None]:
        """Authenticate every segment, yielding the numbers of stored bytes that were fetched. Raises as `get` does."""
        if size > RANGE:
            yield from (one.fetched for one in opened(Pieces(self.store), key, size, dek, associated))
            return
        fetched = 0
        with Stream(self.budget) as stream:

            def counted() -> Iterator[bytes]:
                nonlocal fetched
                for chunk in stream.ahead(Pieces(self.store).get(key)):
                    fetched += len(chunk)
                    yield chunk

            for _segment in open_sealed(reader_of(counted()), dek, associated):
                yield fetched
                fetched = 0


def without(chunks: Iterable[bytes], skip: int) -> Iterator[bytes]:
    """Yield `chunks` without the first `skip` bytes."""
    for chunk in chunks:
        beyond = max(0, skip - len(chunk))
        yield chunk[skip:] if skip else chunk
        skip = beyond


def end(chunks: object) -> None:
    """Close `chunks` if it is a generator."""
    close = getattr(chunks, "close", None)
    if callable(close):
        close()


@cache
def share_one_heap() -> None:
    """Make all threads of the process share one heap, in which large blocks are, if the C library has mallopt.

    By default glibc has a heap for each thread, which keeps what the thread freed: measured with four objects at once,
    500 MiB were resident while 230 MiB were in use. It also gives a freed frame back to the system at once, which
    clears each page of the next one: measured in a restore, half of the processor time.
    """
    with suppress(OSError, AttributeError):  # another C library, with another heap
        library = ctypes.CDLL(None)
        for parameter, value in HEAP.items():
            library.mallopt(parameter, value)
