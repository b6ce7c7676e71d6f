"""Receiver of the customers' notifications; records deliveries and repeats."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

from harness.alerts.sink import KEPT, MALFORMED, JsonSink
from harness.core.clock import SYSTEM, Clock

UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery: its idempotency key, the sender's reference, and the time of arrival in monotonic seconds."""

    key: str
    reference: str
    at: float


class Receiver(JsonSink):
    """Records the messages that the notification service delivers."""

    def __init__(self, host: str = "127.0.0.1", clock: Clock = SYSTEM) -> None:
        super().__init__("customers", host, clock)
        self._deliveries: list[Delivery] = []
        self._away = Event()

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Return all deliveries including repeats, in the order of arrival."""
        with self._lock:
            return tuple(self._deliveries)

    def seen(self, reference: str) -> tuple[Delivery, ...]:
        """Return the deliveries of one message in the order of arrival; empty if it was never delivered."""
        return tuple(delivery for delivery in self.deliveries if delivery.reference == reference)

    def repeats(self) -> tuple[str, ...]:
        """Return the idempotency keys that were delivered more than once, in the order of their first delivery."""
        counted = Counter(delivery.key for delivery in self.deliveries)
        return tuple(key for key, times in counted.items() if times > 1)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuse every delivery with 503 inside the `with` block."""
        self._away.set()
        try:
            yield
        finally:
            self._away.clear()

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Record one delivery; return the HTTP status of the answer: 204 kept, 400 malformed, 503 unavailable."""
        if self._away.is_set():
            return UNAVAILABLE
        try:
            key, reference = headers["idempotency-key"], json.loads(body)["title"]
        except (ValueError, KeyError, TypeError):
            return MALFORMED
        if not key or not isinstance(reference, str):
            return MALFORMED
        with self._lock:
            self._deliveries.append(Delivery(key, reference, self._clock.monotonic()))
        return KEPT
