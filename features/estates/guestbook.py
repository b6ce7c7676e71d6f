"""Guestbook: example of a custom HTTP service with a PostgreSQL database."""

from __future__ import annotations

import json
import os
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


class Guestbook(BaseHTTPRequestHandler):
    """Answers every request with all entries."""

    def do_GET(self) -> None:
        """Answer with all entries, as JSON."""
        rows = DATABASE.execute("SELECT said FROM entries ORDER BY id").fetchall()
        body = json.dumps([said for (said,) in rows]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Guestbook).serve_forever()
