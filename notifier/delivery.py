"""Delivery: a thread that sends what waits, each message at least once under its key."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

import psycopg

from notifier import outbox
from notifier.database import Database
from notifier.errors import Unavailable
from notifier.outbox import Waiting
from notifier.sender import send, sender

LOG = logging.getLogger("notifier")
IDLE = 0.2  # seconds between two looks at an empty or held outbox
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds before a message that failed is tried again
FIRST_BREATH, LONGEST_BREATH = 0.05, 1.0  # seconds between attempts while none succeeds
DOUBLINGS = 12  # beyond it every pause is at its longest


def text_of(message: Waiting) -> str:
    """Return what the recipient reads: the attachment by name and SHA-256, not by content."""
    lines = [
        f"To: {message.recipient}",
        f"Subject: {message.subject}",
        f"Idempotency-Key: {message.idempotency_key}",
    ]
    if message.attachment_key:
        name = message.attachment_key.rpartition("/")[2]
        lines.append(f"Attachment: {name} sha256={message.attachment_sha256}")
    return "\n".join([*lines, "", message.body])


def growing(first: float, longest: float, failures: int) -> float:
    """Return the pause in seconds after so many failures: doubled each time, up to `longest`."""
    return min(longest, first * 2.0 ** min(failures, DOUBLINGS))


class Delivery:
    """The worker. `on_fatal` is called when it cannot go on."""

    def __init__(self, database: Database, target: str, on_fatal: Callable[[], None]) -> None:
        self._database = database
        self._target = target
        self._on_fatal = on_fatal
        self._stopping = Event()
        self._wake = Event()
        self._paused: dict[int, float] = {}
        self._thread = Thread(target=self._run, name="delivery")

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to deliver."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the message in hand and end."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        ended = False
        try:
            ended = self._deliver_all()
        finally:
            if not ended:
                self._on_fatal()

    def _deliver_all(self) -> bool:
        """Deliver until told to stop; False when the target is not one."""
        if sender(self._target, "none") is None:
            LOG.error("NOTIFIER_TARGET: not a URL that apprise can deliver to; try json://host:port/path")
            return False
        failures, lost = 0, False
        while not self._stopping.is_set():
            try:
                sent = self._database.run(self._deliver_one)
            except Unavailable as error:
                if not lost:
                    LOG.warning("delivery waits: %s", error)
                lost, sent = True, None
            else:
                lost = False
            if sent is None:
                self._wake.wait(IDLE)
                self._wake.clear()
            elif sent:
                failures = 0
            else:
                self._stopping.wait(growing(FIRST_BREATH, LONGEST_BREATH, failures))
                failures += 1
        return True

    def _deliver_one(self, connection: psycopg.Connection) -> bool | None:
        """Deliver one message that waits: whether that succeeded, None when there is none.

        The row stays locked meanwhile, so that another copy of this service takes the next one.
        """
        now = monotonic()
        self._paused = {number: due for number, due in self._paused.items() if due > now}
        message = outbox.next_waiting(connection, tuple(self._paused))
        if message is None:
            return None
        sent = send(self._target, message.idempotency_key, message.reference, text_of(message))
        outbox.mark(connection, message, delivered=sent)
        if not sent:
            pause = growing(FIRST_PAUSE, LONGEST_PAUSE, message.attempts)
            self._paused[message.id] = monotonic() + pause
            LOG.warning(
                "%s: not delivered, attempt %d; again in %.1f s", message.reference, message.attempts + 1, pause
            )
        return sent
