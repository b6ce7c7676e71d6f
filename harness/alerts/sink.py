"""Where alerts go in a drill: a web server on loopback that remembers them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

from harness.core.clock import SYSTEM, Clock

KEPT, NOT_AN_ALERT = 204, 400


@dataclass(frozen=True, slots=True)
class Received:
    """One alert that came. `at`: monotonic seconds, `wall`: UTC, for people."""

    title: str
    body: str
    at: float
    wall: datetime


class AlertSink:
    """Takes alerts in the format of apprise's `json://` targets, inside its `with` block."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._lock = Lock()
        self._received: list[Received] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="alert sink", daemon=True)

    def __enter__(self) -> AlertSink:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The apprise URL that leads here."""
        return f"json://127.0.0.1:{self._server.server_address[1]}/alerts"

    @property
    def received(self) -> tuple[Received, ...]:
        """All alerts so far, in the order in which they came."""
        with self._lock:
            return tuple(self._received)

    def take(self, content: bytes) -> int:
        """Keep one alert; return the HTTP status to answer: 204 kept, 400 not an alert."""
        try:
            row = json.loads(content)
            alert = Received(str(row["title"]), str(row["message"]), self._clock.monotonic(), self._clock.wall())
        except (ValueError, KeyError, TypeError):
            return NOT_AN_ALERT
        with self._lock:
            self._received.append(alert)
        return KEPT


def _handler_of(sink: AlertSink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = sink.take(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing: what came is in `received`."""

    return Handler
