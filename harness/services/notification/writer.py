"""The writer of the ledger: a client outside both sites, whose numbered writes tell what a disaster cost."""

from __future__ import annotations

import re
from threading import Condition, Event, Thread
from typing import Protocol

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError, TookTooLong
from harness.core.service import PublicDoor
from harness.patience import PATIENCE
from harness.services.notification.client import ACCEPTED, Client

PREFIX = "ledger-"
NUMBERED = re.compile(r"ledger-([1-9][0-9]*)")


class Book(Protocol):
    """Where writes are noted; `acked` returns once the note is on disk."""

    def sent(self, number: int, at: float) -> None:
        """Note that a write is about to be sent; `at` in monotonic seconds."""
        ...

    def acked(self, number: int, at: float) -> None:
        """Note that a write was acknowledged; `at` in monotonic seconds."""
        ...


class LedgerWriter:
    """A thread that sends `rate` writes a second, each under a number of its own that is used once.

    A write counts as acknowledged when it is answered 202. One that failed is not sent again, and an answer
    that the number was known before is no acknowledgement of this write.
    """

    def __init__(
        self, door: PublicDoor, book: Book, gateway_key_ref: str, rate: float = 10.0, clock: Clock = SYSTEM
    ) -> None:
        self._client = Client.open(door, gateway_key_ref)
        self._book = book
        self._every = 1.0 / rate
        self._clock = clock
        self._changed = Condition()
        self._stopping = Event()
        self._number = self._acked = self._failures = 0
        self._last_ack: float | None = None
        self._reason = ""
        self._ended = self._told = False
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """End after the write in hand; may be called again. Raises HarnessError, once, if the writer had died."""
        died = self._died
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        if (died or self._reason) and not self._told:
            raise self._death()

    @property
    def last_ack(self) -> float | None:
        """Monotonic seconds of the newest acknowledgement, None before the first. Raises HarnessError."""
        self._require_alive()
        return self._last_ack

    @property
    def consecutive_failures(self) -> int:
        """Writes that failed since the newest acknowledgement. Raises HarnessError."""
        self._require_alive()
        return self._failures

    @property
    def ok(self) -> bool:
        """Whether the newest write that was answered or gave up was acknowledged. Raises HarnessError."""
        return self.consecutive_failures == 0 and self._last_ack is not None

    def wait_acked(self, count: int, patience: float = 30.0) -> float:
        """Return once `count` writes in all were acknowledged: monotonic seconds of the newest.

        Raises TookTooLong after `patience` seconds, HarnessError when the writer died.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._acked >= count or self._died, patience)
            self._require_alive()
            if self._acked < count or self._last_ack is None:
                raise TookTooLong(
                    f"ledger writer: {self._acked} of {count} writes acknowledged in {patience:g} s; "
                    "look whether the front door answers"
                )
            return self._last_ack

    @property
    def _died(self) -> bool:
        return bool(self._reason) or (self._ended and not self._stopping.is_set())

    def _require_alive(self) -> None:
        if self._died:
            raise self._death()

    def _death(self) -> HarnessError:
        self._told = True
        reason = self._reason or "its traceback is on standard error"
        return HarnessError(f"ledger writer died at write {self._number}: {reason}; nothing is measured since")

    def _run(self) -> None:
        """Write until told to stop; leave a reason behind where the book could not be kept."""
        try:
            self._write_all()
        except (OSError, HarnessError) as error:
            self._reason = str(error) or type(error).__name__
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _write_all(self) -> None:
        due = self._clock.monotonic()
        while not self._stopping.is_set():
            self._number += 1
            self._write(self._number)
            # After a slow write the next one follows at once; what was not sent is not made up for.
            due = max(due + self._every, self._clock.monotonic())
            self._stopping.wait(max(0.0, due - self._clock.monotonic()))

    def _write(self, number: int) -> None:
        self._book.sent(number, self._clock.monotonic())
        try:
            answer = self._client.post(f"{PREFIX}{number}", f"write {number}", patience=PATIENCE.ledger_write)
            accepted = answer.status == ACCEPTED
        except OSError:
            accepted = False
        at = self._clock.monotonic()
        if accepted:
            self._book.acked(number, at)
        with self._changed:
            if accepted:
                self._acked, self._last_ack, self._failures = self._acked + 1, at, 0
            else:
                self._failures += 1
            self._changed.notify_all()


def survivors(door: PublicDoor, gateway_key_ref: str) -> frozenset[int]:
    """Return the numbers of all ledger writes that the system behind the front door holds.

    Raises OSError when it does not answer, Finding when it answers with anything but the list.
    """
    outbox = Client.open(door, gateway_key_ref).outbox(PREFIX)
    found = (NUMBERED.fullmatch(message.reference) for message in outbox.messages)
    return frozenset(int(match.group(1)) for match in found if match)
