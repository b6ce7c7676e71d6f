"""A small S3 server in memory that fails as it is told: for tests of what a client does then."""

from __future__ import annotations

import hashlib
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from harness.core.clock import SYSTEM
from harness.repository.store.http.connections import StorePatience
from harness.repository.store.s3 import S3Store

LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message></Error>"
# Long enough for a busy machine; where a limit is reached, a test shortens that one.
QUICK = StorePatience(connect=10.0, silence=10.0, complete=30.0, repeats=60.0, connects=0.5)


@dataclass
class Request:
    """What was asked: `kind` is put, part, create, complete, abort, get, head or list."""

    kind: str
    key: str
    headers: dict[str, str]
    number: int  # of its kind, from 0
    query: dict[str, list[str]]


@dataclass
class Fault:
    """`status` with `code`; or before an answer `reset` the connection, or be `silent` for so many seconds.

    `done`: whether it was carried out all the same. `cut`: bytes of the body after which the connection is lost, after
    `stalls` seconds.
    `body`, `headers`: of the answer, in place of the error with `code`; `endless`: the body comes again and again.
    """

    status: int = 0
    code: str = ""
    reset: bool = False
    silent: float = 0.0
    done: bool = False
    cut: int = -1
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    stalls: float = 0.0


BUCKET = "bucket"
Reply = tuple[int, bytes, dict[str, str]]
Faults = Callable[[Request], Fault | None]


@dataclass
class Faulty:
    faults: Faults = lambda _request: None
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    lists: list[bytes] = field(default_factory=list)  # what the next lists answer; an empty one after them
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    def store(self, patience: StorePatience = QUICK, **more: object) -> S3Store:
        return S3Store.connect("127.0.0.1", self.port, "access", "secret", BUCKET, patience=patience, **more)  # type: ignore[arg-type]

    def count(self, kind: str) -> int:
        return sum(one.kind == kind for one in self.requests)

    def noted(self, kind: str, key: str, headers: dict[str, str], query: dict[str, list[str]]) -> tuple[Request, Fault]:
        with self.lock:
            request = Request(kind, key, headers, self.count(kind), query)
            self.requests.append(request)
        return request, self.faults(request) or Fault()


class Handler(BaseHTTPRequestHandler):
    at: Faulty
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body that waits for the acknowledgement of its head comes 40 ms late

    def log_message(self, *_words: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def serve(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        key = unquote(url.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        kind = _kind(self.command, key, query)
        _, fault = self.at.noted(kind, key, {name.lower(): value for name, value in self.headers.items()}, query)
        if fault.silent:
            SYSTEM.sleep(fault.silent)
        status, answer, more = 200, b"", dict[str, str]()
        if fault.done or not (fault.status or fault.reset):
            status, answer, more = self.act(kind, key, query, body)
        if fault.reset:
            self.reset()
            return
        if fault.status:
            status, more = fault.status, fault.headers
            answer = ERROR.format(fault.code, "injected").encode() if fault.body is None else fault.body
        self.answer(status, answer, more, fault)

    def act(self, kind: str, key: str, query: dict[str, list[str]], body: bytes) -> Reply:
        upload = query.get("uploadId", [""])[0]
        if kind in ("get", "head"):
            return self.read(key)
        if kind in ("complete", "abort") and upload not in self.at.uploads:
            return 404, ERROR.format("NoSuchUpload", "gone").encode(), {}
        answer = self.at.lists.pop(0) if kind == "list" and self.at.lists else LIST
        if kind == "list" and answer is LIST:
            below = [name for name in sorted(self.at.objects) if name.startswith(query.get("prefix", [""])[0])]
            answer = listing(*below)
        if kind == "put":
            self.at.objects[key] = body
        elif kind == "part":
            self.at.uploads[upload][int(query["partNumber"][0])] = body
        elif kind == "create":
            upload = secrets.token_hex(4)
            self.at.uploads[upload] = {}
            answer = f"<r><Bucket>b</Bucket><Key>k</Key><UploadId>{upload}</UploadId></r>".encode()
        elif kind == "complete":
            parts = self.at.uploads.pop(upload)
            self.at.objects[key] = b"".join(parts[n] for n in sorted(parts))
            answer = b"<r><Bucket>b</Bucket><Key>k</Key><ETag>x</ETag></r>"
        elif kind == "abort":
            del self.at.uploads[upload]
        return 200, answer, {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'}

    def read(self, key: str) -> Reply:
        data = self.at.objects.get(key)
        if data is None:
            return 404, ERROR.format("NoSuchKey", "absent").encode(), {}
        more = {"ETag": '"e"', "Last-Modified": "Sun, 01 Mar 2026 02:03:04 GMT"}
        if span := self.headers.get("Range"):
            first, _, last = span.removeprefix("bytes=").partition("-")
            return 206, data[int(first) : int(last) + 1 if last else None], more
        return 200, data, more

    def answer(self, status: int, body: bytes, more: dict[str, str], fault: Fault) -> None:
        self.send_response(status)
        size = {} if fault.endless else {"Content-Length": str(len(body))}
        for name, value in {"Content-Type": "application/xml", **more, **size}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if fault.cut < 0 else body[: fault.cut])
        while fault.endless:  # until the client has closed the connection
            self.wfile.write(body)
        if fault.cut >= 0:
            self.wfile.flush()
            SYSTEM.sleep(fault.stalls)
            self.reset()

    def reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve  # noqa: N815


def listing(*keys: str, time: str = "2026-11-04T02:00:00.000Z", size: str = "1", more: str = "") -> bytes:
    """Return a page of a listing. `more`: what says that there are others."""
    found = "".join(
        f"<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>x</ETag><Size>{size}</Size></Contents>"
        for key in keys
    )
    return f"<ListBucketResult><Name>{BUCKET}</Name>{more}{found}</ListBucketResult>".encode()


def _kind(method: str, key: str, query: dict[str, list[str]]) -> str:
    if method == "PUT":
        return "part" if "partNumber" in query else "put"
    if method == "POST":
        return "create" if "uploads" in query else "complete"
    if method == "DELETE":
        return "abort" if "uploadId" in query else "delete"
    return {"HEAD": "head"}.get(method, "get" if key else "list")


@contextmanager
def faulty(faults: Faults = lambda _request: None) -> Iterator[Faulty]:
    """Yield a server that listens on loopback."""
    made = Faulty(faults)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("At", (Handler,), {"at": made}))
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
