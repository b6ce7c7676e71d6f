"""Shipper: stores what a receiver hands over, in a thread of its own, so that the receiver can answer its server."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, Full, Queue
from threading import Thread
from types import TracebackType
from typing import Self

from harness.core.errors import HarnessError
from harness.core.wal import Switch
from harness.repository.format.wal import WalEntry, WalLink
from harness.repository.wal.heads import remember_batch
from harness.repository.wal.writer import WalWriter

WAITING = 48 << 20  # bytes between receiver and shipper, at least one segment; the server keeps the rest
TOLD = 60.0  # seconds between two batches that the witness is told
ASKED = 0.5  # seconds after which a waiting thread looks whether the other one has failed


@dataclass(frozen=True, slots=True)
class Part:
    """WAL of one segment from its start on. `whole`: no more of it follows, because it is full or its timeline ended.

    `covered_until`: see `WalList`.
    """

    timeline: int
    start: int
    data: bytes = field(repr=False)
    whole: bool
    covered_until: datetime | None

    @property
    def end(self) -> int:
        """Return the position up to which it goes."""
        return self.start + len(self.data)


@dataclass(frozen=True, slots=True)
class History:
    """The history of a timeline."""

    name: str
    timeline: int
    text: bytes
    switches: tuple[Switch, ...]


@dataclass(slots=True)
class Shipper:
    """Ships what is handed over, in order. `shipped`: the position up to which the repository has the WAL."""

    writer: WalWriter
    shipped: int = 0
    _queue: "Queue[Part | History | None]" = field(init=False)
    _thread: Thread = field(init=False)
    _failure: BaseException | None = None
    _last: WalEntry | None = None
    _told: WalLink | None = None
    _told_at: float | None = None

    def __post_init__(self) -> None:
        self._queue = Queue(max(1, WAITING // self.writer.segment_size))

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._run, daemon=True, name="WAL shipper")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait until all that was handed over is shipped, after an error of the server too.

        After an interruption wait for what is under way alone. Raises what stopped the shipper.
        """
        interrupted = error is not None and not isinstance(error, HarnessError)
        if interrupted:
            self._failure = self._failure or error
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=ASKED)
                break
            except Full:
                continue
        self._thread.join()
        if not interrupted:
            self.require_working()

    @property
    def idle(self) -> bool:
        """Return whether nothing waits to be shipped."""
        return self._queue.empty()

    def require_working(self) -> None:
        """Raise what stopped the shipper, if something did."""
        if self._failure is not None:
            raise self._failure

    def offer(self, item: Part | History) -> bool:
        """Hand something over; return whether there was room within half a second. Raises what stopped the shipper."""
        self.require_working()
        try:
            self._queue.put(item, timeout=ASKED)
        except Full:
            return False
        return True

    def _run(self) -> None:
        try:
            ended = False
            while not ended and self._failure is None:
                items = self._taken()
                ended = None in items
                self._ship([item for item in items if item is not None])
        except BaseException as error:  # noqa: BLE001 - raised again by `require_working`
            self._failure = error

    def _taken(self) -> list[Part | History | None]:
        """Return what waits, at least one item, and not more than may wait."""
        items = [self._queue.get()]
        while items[-1] is not None and len(items) < self._queue.maxsize:
            try:
                items.append(self._queue.get_nowait())
            except Empty:
                break
        return items

    def _ship(self, items: Sequence[Part | History]) -> None:
        """Store the files, list those that are final in batches, and then what there is of the open segment.

        A history is in a batch of its own, which never expires: the WAL around it does.
        """
        entries: list[WalEntry] = []
        covered: datetime | None = None
        tail: Part | None = None
        for item in items:
            tail = None
            if isinstance(item, History):
                self._commit(entries, covered)
                entries, covered = [], None
                self._commit([self.writer.put_history(item.name, item.timeline, item.text, item.switches)], None)
            elif item.whole:
                entries.append(self.writer.put(item.timeline, item.start, item.data, last=True))
                covered = item.covered_until
            else:
                tail = item
        self._commit(entries, covered)
        if tail is not None:
            self._show(tail)
        self._tell()

    def _commit(self, entries: Sequence[WalEntry], covered: datetime | None) -> None:
        if entries:
            self.writer.commit(entries, covered)
            self._last = entries[-1]
            self.shipped = max([self.shipped, *(entry.end for entry in entries)])

    def _tell(self) -> None:
        """Tell the witness the newest batch now and then, so that its deletion is noticed while this runs."""
        head, now = self.writer.head, self.writer.repository.clock.monotonic()
        if head is None or head == self._told or (self._told_at is not None and now - self._told_at < TOLD):
            return
        self._told_at = now
        with suppress(HarnessError):  # shipping goes on; verify and status name a witness that cannot be read
            remember_batch(self.writer.repository, self.writer.cluster, head)
            self._told = head

    def _show(self, part: Part) -> None:
        """List the open segment; one that has nothing new is not stored again."""
        last = self._last
        if part.data and (last is None or (last.start, last.end) != (part.start, part.end)):
            self._last = last = self.writer.put(part.timeline, part.start, part.data)
        if last is not None:
            self.writer.show((last,), part.covered_until)
            self.shipped = max(self.shipped, part.end)
