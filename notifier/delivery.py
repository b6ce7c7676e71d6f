"""Delivery thread: sends queued messages, each at least once under its idempotency key."""

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
IDLE = 0.2  # seconds between polls while the outbox is empty or on hold
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds before a failed message is retried
FIRST_DELAY, LONGEST_DELAY = 0.05, 1.0  # seconds between attempts while all fail
DOUBLINGS = 12  # limit, to avoid an overflow


def text_of(message: Waiting) -> str:
    """Return the text for the recipient, with name and SHA-256 of the attachment."""
    lines = [f"To: {message.recipient}", f"Subject: {message.subject}", f"Idempotency-Key: {message.idempotency_key}"]
    if message.attachment_key:
        name = message.attachment_key.rpartition("/")[2]
        lines.append(f"Attachment: {name} sha256={message.attachment_sha256}")
    return "\n".join([*lines, "", message.body])


def backoff(first: float, longest: float, failures: int) -> float:
    """Return the exponential backoff in seconds after that many failures, at most `longest`."""
    return min(longest, first * 2.0 ** min(failures, DOUBLINGS))


class Delivery:
    """The delivery thread. `on_fatal` is called when it ends because of an error."""

    def __init__(self, database: Database, target: str, on_fatal: Callable[[], None]) -> None:
        self._database = database
        self._target = target
        self._on_fatal = on_fatal
        self._stopping = Event()
        self._wake = Event()
        self._paused: dict[int, float] = {}
        self._thread = Thread(target=self._run, name="delivery")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Wake the thread, because there is a new message."""
        self._wake.set()

    def stop(self) -> None:
        """Stop after the current message."""
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
        """Deliver until stopped; return False if the target is invalid."""
        if sender(self._target, "none") is None:
            LOG.error("NOTIFIER_TARGET: not a URL of apprise; use e.g. json://host:port/path")
            return False
        failures, lost = 0, False
        while not self._stopping.is_set():
            try:
                sent = self._database.run(self._deliver_one)
            except Unavailable as error:
                if not lost:
                    LOG.warning("delivery interrupted: %s", error)
                lost, sent = True, None
            else:
                lost = False
            if sent is None:
                self._wake.wait(IDLE)
                self._wake.clear()
            elif sent:
                failures = 0
            else:
                self._stopping.wait(backoff(FIRST_DELAY, LONGEST_DELAY, failures))
                failures += 1
        return True

    def _deliver_one(self, connection: psycopg.Connection) -> bool | None:
        """Deliver one message, its row locked from others; return whether it worked, None without one."""
        now = monotonic()
        self._paused = {number: due for number, due in self._paused.items() if due > now}
        message = outbox.next_waiting(connection, tuple(self._paused))
        if message is None:
            return None
        sent = send(self._target, message.idempotency_key, message.reference, text_of(message))
        outbox.mark(connection, message, delivered=sent)
        if not sent:
            pause = backoff(FIRST_PAUSE, LONGEST_PAUSE, message.attempts)
            self._paused[message.id] = monotonic() + pause
            LOG.warning(
                "%s: not delivered, attempt %d; retry in %.1f s", message.reference, message.attempts + 1, pause
            )
        return sent
