"""The customers' side: takes deliveries, and knows which came twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

from harness.core.clock import SYSTEM, Clock


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery: the key it came under, the sender's reference, monotonic seconds when it came."""

    key: str
    reference: str
    at: float


class Receiver:
    """A web server on loopback that accepts messages in the format of apprise's `json://` targets."""

    def __init__(self, host: str = "127.0.0.1", clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._lock = Lock()
        self._deliveries: list[Delivery] = []
        self._away = Event()
        self._server = ThreadingHTTPServer((host, 0), handler_of(self))
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="receiver", daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The apprise URL that leads here."""
        host, port = self._server.server_address[:2]
        return f"json://{host if isinstance(host, str) else host.decode()}:{port}/customers"

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """All of them, repeats too, in the order in which they came."""
        with self._lock:
            return tuple(self._deliveries)

    def seen(self, reference: str) -> tuple[Delivery, ...]:
        """Return the deliveries of one message, first to last; empty when it never came."""
        return tuple(delivery for delivery in self.deliveries if delivery.reference == reference)

    def repeats(self) -> tuple[str, ...]:
        """Return the keys that came more than once, in the order in which each was first seen."""
        counted = Counter(delivery.key for delivery in self.deliveries)
        return tuple(key for key, times in counted.items() if times > 1)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuse every delivery inside the `with` block, so that messages stay undelivered."""
        self._away.set()
        try:
            yield
        finally:
            self._away.clear()

    def take(self, key: str, body: bytes) -> int:
        """Keep one delivery; return the HTTP status to answer: 204 kept, 400 not a delivery, 503 away."""
        if self._away.is_set():
            return 503
        try:
            reference = json.loads(body)["title"]
        except (ValueError, KeyError, TypeError):
            return 400
        if not key or not isinstance(reference, str):
            return 400
        with self._lock:
            self._deliveries.append(Delivery(key, reference, self._clock.monotonic()))
        return 204


def handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    """Return the request handler that hands deliveries to `receiver`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(receiver.take(self.headers.get("Idempotency-Key", ""), body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
            """Keep quiet."""

    return Handler
