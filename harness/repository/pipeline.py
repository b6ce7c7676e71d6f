"""The pipeline: a reader thread, compressing workers, a sealing thread and the store, under one budget of bytes.

A stage runs ahead of the one after it only as far as the budget goes, and the budget is shared by all streams of one
backup: memory does not grow with the data. The first failure, of any stage, ends all stages and is the one raised.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Condition, Lock, Thread
from types import TracebackType

from harness.core.errors import HarnessError, Unreadable
from harness.patience import PATIENCE
from harness.repository.format.frames import FRAME, compress, decompress, regroup
from harness.repository.format.seal import open_sealed, reader_of, seal
from harness.repository.heap import give_back_large_blocks
from harness.repository.store.port import ObjectStore

BUDGET = 24 << 20  # bytes between stages, over all streams
UPLOADS = 2  # streams at a time: each holds parts and frames beside the budget
WORKERS = 2


class _Over(HarnessError):
    """Another stage failed, or nobody wants the rest."""


@dataclass(slots=True)
class Budget:
    """How many bytes may lie between stages. `peak` is the most that ever did."""

    limit: int = BUDGET
    used: int = 0
    peak: int = 0
    changed: Condition = field(default_factory=Condition)


@dataclass(slots=True)
class Counters:
    """Bytes so far, over all streams: read, after compression, taken by the store. Readable from any thread."""

    plain: int = 0
    compressed: int = 0
    stored: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, *, plain: int = 0, compressed: int = 0, stored: int = 0) -> None:
        """Count more."""
        with self._lock:
            self.plain += plain
            self.compressed += compressed
            self.stored += stored


class _Queue:
    """What one stage has made and the next has not taken. `with` it, a producer hands over its failure too."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.budget = stream, stream.budget
        self.chunks: deque[bytes] = deque()
        self.ended = False
        self.failure: BaseException | None = None

    def fill(self, source: Iterable[bytes]) -> None:
        """Run the stage `source` to its end, or until all is over; its failure is kept for the one who takes."""
        with self:
            chunks = iter(source)
            try:
                for chunk in chunks:
                    self._put(chunk)
                    del chunk
            finally:
                end(chunks)

    def _put(self, chunk: bytes) -> None:
        budget, size = self.budget, len(chunk)
        with budget.changed:
            # An empty queue takes one chunk whatever the budget says: no stage can starve another for ever.
            budget.changed.wait_for(lambda: self.stream.over or not self.chunks or budget.used + size <= budget.limit)
            if self.stream.over:
                raise _Over
            self.chunks.append(chunk)
            budget.used += size
            budget.peak = max(budget.peak, budget.used)
            budget.changed.notify_all()

    def take(self) -> bytes | None:
        """Return the next chunk, or None at the end; raises what the stage raised."""
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
        """Give back what nobody will take."""
        with self.budget.changed:
            self.budget.used -= sum(map(len, self.chunks))
            self.chunks.clear()
            self.budget.changed.notify_all()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, _kind: type[BaseException] | None, failure: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        with self.budget.changed:
            self.failure, self.ended = failure, True
            self.budget.changed.notify_all()
        return True  # it is raised again where it is waited for


class Stream:
    """One object under way. Leaving its `with` block ends every stage."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.over = False
        self._queues: list[_Queue] = []
        self._threads: list[Thread] = []

    def ahead(self, source: Iterable[bytes]) -> Generator[bytes, None, None]:
        """Yield what `source` yields, made in a thread of its own and ahead of need; raises what it raises."""
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
            # A stage that waits for its source cannot be called back: it ends with the source's next word.
            thread.join(PATIENCE.pipeline_end)
        for queue in self._queues:
            queue.discard()


@dataclass(frozen=True, slots=True)
class Stored:
    """What went into one object: bytes read, bytes stored, and SHA-256 of what was read, hex."""

    plain_size: int
    stored_size: int
    plain_sha256: str


@dataclass(slots=True)
class Pipeline:
    """Carries streams to a store and back. One for each backup: its streams share the budget."""

    store: ObjectStore
    budget: Budget = field(default_factory=Budget)
    counters: Counters = field(default_factory=Counters)
    workers: int = WORKERS
    _slots: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(UPLOADS))

    def __post_init__(self) -> None:
        give_back_large_blocks()

    def put(self, key: str, chunks: Iterable[bytes], dek: bytes, associated: bytes) -> Stored:
        """Compress, seal and store `chunks` as one object; return what went into it.

        Raises what `chunks` raises, or HarnessError of the store; then there is no object of that key.
        """
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
            for frame in compress(blocks, self.workers):
                count.add(compressed=len(frame))
                yield frame
                del frame

        def taken(sealed: Iterable[bytes]) -> Iterator[bytes]:
            for segment in sealed:
                count.add(stored=len(segment))
                yield segment

        with self._slots, Stream(self.budget) as stream:
            sealed = seal(packed(stream.ahead(read())), dek, associated)
            stored = self.store.put(key, taken(stream.ahead(sealed)))
        return Stored(own.plain, stored, digest.hexdigest())

    def get(self, key: str, dek: bytes, associated: bytes) -> Generator[bytes, None, None]:
        """Yield the plaintext of one object; every byte of it has authenticated.

        Raises Unreadable when the object is missing, altered or cut off, HarnessError when the store fails.
        """
        with Stream(self.budget) as stream:
            fetched = reader_of(stream.ahead(self.store.get(key)))
            yield from stream.ahead(decompress(open_sealed(fetched, dek, associated)))

    def authenticate(self, key: str, dek: bytes, associated: bytes) -> Generator[int, None, None]:
        """Yield the number of stored bytes fetched, as they come, while every segment is authenticated.

        Raises as `get` does. Nothing is decompressed.
        """
        fetched = 0
        with Stream(self.budget) as stream:

            def counted() -> Iterator[bytes]:
                nonlocal fetched
                for chunk in stream.ahead(self.store.get(key)):
                    fetched += len(chunk)
                    yield chunk

            for _segment in open_sealed(reader_of(counted()), dek, associated):
                yield fetched
                fetched = 0
            if fetched:
                raise Unreadable("bytes after the last segment")


def end(chunks: object) -> None:
    """Close a generator; leave any other iterable alone."""
    close = getattr(chunks, "close", None)
    if callable(close):
        close()
