"""HTTP server that answers with its name and an echo of the request."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from harness.core.node import Address


class Backend:
    def __init__(self, name: str) -> None:
        self.name = name
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.server.daemon_threads = True
        self.thread = Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.seen: list[str] = []

    def __enter__(self) -> Backend:
        self.thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.server.server_address[1])


def handler_of(backend: Backend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            backend.seen.append(f"{self.command} {self.path}")
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            echo = {
                "who": backend.name,
                "path": self.path,
                "headers": headers,
                "body": self.rfile.read(length).decode(),
            }
            body = json.dumps(echo).encode()
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("X-Site", backend.name)
            self.send_header("Set-Cookie", f"seen={backend.name}; Path=/")
            self.send_header("Location", "/elsewhere")
            # At /cut, Content-Length is longer than the body.
            self.send_header("Content-Length", str(len(body) + (100 if self.path == "/cut" else 0)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = self.path == "/cut"

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_args: object) -> None:
            pass

    return Handler
