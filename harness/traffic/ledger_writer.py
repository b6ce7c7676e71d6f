"""The ledger writer: a client outside both sites that sends numbered writes, to measure RPO and lost writes."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Protocol

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError


class NotAcknowledged(OSError):
    """A write was answered with something else than its acknowledgement, which the message says."""


class LedgerSink(Protocol):
    """Where writes are recorded; `acked` returns once the record is on disk."""

    def sent(self, number: int, at: float) -> None:
        """Record that a write is about to be sent; `at` in monotonic seconds."""

    def acked(self, number: int, at: float) -> None:
        """Record that a write was acknowledged; `at` in monotonic seconds."""


class LedgerWriter:
    """A thread that sends `rate` numbered writes a second, each once; `send` returns whether it was acknowledged.

    `refusal`: why the newest write that failed did, "" where nobody said so.
    """

    def __init__(self, send: Callable[[int], bool], ledger: LedgerSink, rate: float = 10.0) -> None:
        self._send = send
        self._ledger = ledger
        self._every = 1.0 / rate
        self._stopping = Event()
        self._number = self._failures = 0
        self._reason = ""
        self.refusal = ""
        self._ended = self._reported = False
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Let the thread end after the current write; return at once."""
        if not self._died:
            self._stopping.set()

    def stop(self) -> None:
        """Stop after the current write; may be called again. Raises HarnessError, once, if the thread had died."""
        died = self._died
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        if (died or self._reason) and not self._reported:
            raise self._death()

    @property
    def consecutive_failures(self) -> int:
        """Return the number of failed writes since the last acknowledgement. Raises HarnessError if the thread died."""
        if self._died:
            raise self._death()
        return self._failures

    @property
    def _died(self) -> bool:
        return bool(self._reason) or (self._ended and not self._stopping.is_set())

    def _death(self) -> HarnessError:
        self._reported = True
        reason = self._reason or "its traceback is on standard error"
        return HarnessError(f"ledger writer died at write {self._number}: {reason}; nothing was measured after it")

    def _run(self) -> None:
        """Write until stopped; keep the reason when the ledger could not be written."""
        try:
            self._write_all()
        except (OSError, HarnessError) as error:
            self._reason = str(error) or type(error).__name__
        finally:
            self._ended = True

    def _write_all(self) -> None:
        due = SYSTEM.monotonic()
        while not self._stopping.is_set():
            self._number += 1
            self._write(self._number)
            # After a slow write the next one is sent at once; skipped writes are not sent later.
            due = max(due + self._every, SYSTEM.monotonic())
            self._stopping.wait(max(0.0, due - SYSTEM.monotonic()))

    def _write(self, number: int) -> None:
        self._ledger.sent(number, SYSTEM.monotonic())
        try:
            accepted = self._send(number)
        except OSError as error:
            accepted, self.refusal = False, str(error) or type(error).__name__
        if accepted:
            self._ledger.acked(number, SYSTEM.monotonic())
        self._failures = 0 if accepted else self._failures + 1
