"""HTTP sinks on loopback for posts of apprise's `json://` targets; the alert sink of drills."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Self

from harness.core.clock import SYSTEM, Clock

KEPT, MALFORMED = 204, 400


class JsonSink(ABC):
    """HTTP server that passes every POST to `take`, inside its `with` block. `url`: the apprise URL to reach it."""

    def __init__(self, path: str, host: str, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._server = ThreadingHTTPServer((host, 0), _handler_of(self))
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="http sink", daemon=True)
        self.url = f"json://{host}:{self._server.server_address[1]}/{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @abstractmethod
    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Handle one request and return the HTTP status of the answer. `headers` have lower-case names."""


@dataclass(frozen=True, slots=True)
class Received:
    """One received alert. `at`: monotonic seconds; `wall`: UTC, for people."""

    title: str
    body: str
    at: float
    wall: datetime


class AlertSink(JsonSink):
    """Keeps the alerts that it receives."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        super().__init__("alerts", "127.0.0.1", clock)
        self._received: list[Received] = []

    @property
    def received(self) -> tuple[Received, ...]:
        """Return all alerts so far, in the order of arrival."""
        with self._lock:
            return tuple(self._received)

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Keep one alert; return the HTTP status of the answer: 204 kept, 400 not an alert."""
        try:
            row = json.loads(body)
            alert = Received(str(row["title"]), str(row["message"]), self._clock.monotonic(), self._clock.wall())
        except (ValueError, KeyError, TypeError):
            return MALFORMED
        with self._lock:
            self._received.append(alert)
        return KEPT


def _handler_of(sink: JsonSink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(sink.take({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    return Handler
