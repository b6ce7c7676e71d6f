"""HTTP proxy before an object store: it counts the calls, and kills the process that makes them at one of them.

It can also be far away and overloaded, for benchmarks.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Thread
from urllib.parse import unquote, urlsplit

from harness.core.clock import SYSTEM
from harness.core.node import Address

PATIENCE = 60.0  # seconds, for an answer of the store and for the number of the process
RANDOM = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{10}|[0-9a-f]{32,}|(?<=/)[0-9A-F]{24}(?:\.[0-9A-F]{16})?")
VALUES = re.compile(r"=[^&]*")
SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>too many</Message></Error>"
OWN_HEADERS = frozenset({"connection", "content-length", "transfer-encoding"})


class Proxy(ThreadingHTTPServer):
    """Passes every request on as it is, so that its signature stays valid. `calls`: what was asked since `arm`.

    `delay`: seconds before each answer; `refuses`: one of so many calls is answered with 503 and not passed on.
    """

    daemon_threads = True

    def __init__(self, store: Address) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = store
        self.calls: list[str] = []
        self.target: tuple[str, int] | None = None
        self.delay, self.refuses, self.refused = 0.0, 0, 0
        self.hit = Event()
        self._changed = Condition()
        self._under_way = 0
        self._pid = 0

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.server_port)

    def arm(self, moment: str = "", number: int = 0) -> None:
        """Count from 1 again; kill `before` or `after` the call with that number, none for ""."""
        with self._changed:
            self.calls, self.target, self._pid = [], (moment, number) if moment else None, 0
        self.hit.clear()

    def aim(self, pid: int) -> None:
        """Say which process is killed."""
        with self._changed:
            self._pid = pid
            self._changed.notify_all()

    def quiet(self) -> None:
        """Wait until no call is under way."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._under_way, PATIENCE):
                raise TimeoutError(f"{self._under_way} calls to the store did not end")

    @contextmanager
    def counted(self, call: str) -> Iterator[int]:
        with self._changed:
            self.calls.append(call)
            number = len(self.calls)
            self._under_way += 1
        try:
            yield number
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def kills(self, moment: str, number: int) -> bool:
        """Kill the process if this is the moment; return whether it was."""
        if self.target != (moment, number):
            return False
        with self._changed:
            self._changed.wait_for(lambda: self._pid, PATIENCE)
            os.kill(self._pid, signal.SIGKILL)
        self.hit.set()
        return True


class Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # it was killed
            self.close_connection = True

    def relay(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # it was killed while it sent this
            self.close_connection = True
            return
        with self.server.counted(named(self.command, self.path)) as number:
            if self.server.kills("before", number):
                self.close_connection = True
                return
            SYSTEM.sleep(self.server.delay)
            if self.server.refuses and number % self.server.refuses == self.server.refuses // 2:
                self.server.refused += 1
                self.send_response_only(503)
                self.send_header("Content-Length", str(len(SLOW_DOWN)))
                self.end_headers()
                self.wfile.write(SLOW_DOWN)
                return
            answer = HTTPConnection(self.server.store.host, self.server.store.port, timeout=PATIENCE)
            answer.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                answer.putheader(name, value)
            answer.endheaders(body or None)
            with answer.getresponse() as response:
                data = response.read()
            answer.close()
            if self.server.kills("after", number):
                self.close_connection = True
                return
        with suppress(OSError):  # who asked may be dead by now
            self.send_response_only(response.status, response.reason)
            for name, value in response.getheaders():
                if name.lower() not in OWN_HEADERS:
                    self.send_header(name, value)
            size = response.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            if size is not None:
                self.send_header("Content-Length", size)
            self.end_headers()
            self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815 - the names of http.server

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def named(method: str, path: str) -> str:
    """Return a call in words that are the same in every run: method, key without bucket, prefix and random parts."""
    url = urlsplit(path)
    key = "/".join(unquote(url.path).split("/")[3:])
    where = key or "/".join(re.findall(r"(?:^|&)prefix=[^/&]*/([^&]*)", unquote(url.query)))
    query = "&".join(sorted(part for part in VALUES.sub("", url.query).split("&") if part in SHOWN))
    return f"{method} {RANDOM.sub('*', where) or 'bucket'}{'?' if query else ''}{query}"


SHOWN = frozenset(
    {"uploads", "uploadId", "partNumber", "versions", "versionId", "versioning", "list-type", "retention"}
)


@contextmanager
def proxy(store: Address) -> Iterator[Proxy]:
    """Yield a proxy that serves, and end it."""
    with Proxy(store) as made:
        thread = Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()
