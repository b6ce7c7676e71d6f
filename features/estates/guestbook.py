"""Guestbook: example of a custom HTTP service with a PostgreSQL database."""

from __future__ import annotations

import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg


def connection() -> psycopg.Connection[tuple[str]]:
    """Return a connection to the guestbook's database."""
    return psycopg.connect(
        host=os.environ["DB_HOST"],
        port=os.environ["DB_PORT"],
        dbname="guestbook",
        user="guestbook",
        password=os.environ["DB_PASSWORD"],
        autocommit=True,
    )


DATABASE = connection()
DATABASE.execute("CREATE TABLE IF NOT EXISTS entries (id bigserial PRIMARY KEY, said text NOT NULL)")
if DATABASE.execute("SELECT 1 FROM entries LIMIT 1").fetchone() is None:
    DATABASE.execute("INSERT INTO entries (said) VALUES ('we were here')")


def entries() -> list[str]:
    """Return all entries, the oldest first."""
    return [said for (said,) in DATABASE.execute("SELECT said FROM entries ORDER BY id").fetchall()]


def called(host: str, port: int) -> dict[str, str]:
    """Return what came of a connection to an address: `reached`, or the error."""
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        return {"called": str(error)}
    return {"called": "reached"}


class Guestbook(BaseHTTPRequestHandler):
    """Answers with all entries; calls an address when it is asked to, as a program may on its own account."""

    def do_GET(self) -> None:
        """Answer with all entries, or with what came of a call, as JSON."""
        *_, call, host, port = ("", "", *self.path.split("/"))
        body = json.dumps(called(host, int(port)) if call == "call" else entries()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Guestbook).serve_forever()
