"""HTTP server of one volume of a site of containers, with a bearer token: the volume's agent.

Runs in the `blackstart` image as `python3 -m harness.substrate.containers.volume_agent`, with the volume mounted. Its
environment: AGENT_ROOT is the folder that it serves, AGENT_PORT its port, AGENT_TOKEN the bearer token, and AGENT_OWNER
(`uid:gid`), where it is started as root, the owner that it gives the folder and the user that it becomes.

    GET    /file/PATH   200 with the file's bytes       PUT  /file/PATH   writes it, and creates its folders
    DELETE /file/PATH   removes a file or a folder      GET  /walk        every file's path, as a JSON list
    PATCH  /file/PATH   appends to it                   PUT  /tar         unpacks a tar stream into the folder
    GET    /size        total size of all files       GET  /scan/PATH  everything below a folder, a JSON line each
    GET    /stat/PATH   what is there, as JSON        PUT  /stat/PATH  sets mode and mtime, creates a folder
    POST   /fill        uses up all free space          POST /drain       frees it again

Errors: 404 not found, 409 a path that leaves the volume or leads through a link, 507 no space left; the body has the
reason. After an error in the middle of a file the connection is closed before all announced bytes were sent.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from harness.core.errors import UsageError
from harness.core.node import Entry
from harness.substrate.common.folder_volume import FolderVolume

CHUNK = 1 << 20
BALLAST = ".ballast"  # the file that fills a volume; never listed
NOT_FOUND, CONFLICT, FAILED, NO_ROOM, OK, UNAUTHORIZED = 404, 409, 500, 507, 200, 401


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the agent. `token` is compared in constant time."""

    root: Path
    port: int
    token: str = field(repr=False)

    @classmethod
    def read(cls) -> Settings:
        """Return the settings from the environment; raises KeyError for a missing one."""
        return cls(Path(os.environ["AGENT_ROOT"]), int(os.environ["AGENT_PORT"]), os.environ["AGENT_TOKEN"])


def line_of(entry: Entry) -> bytes:
    """Return an entry of a volume as a line of JSON; bytes of a name that are not UTF-8 are surrogates."""
    return json.dumps(asdict(entry)).encode() + b"\n"


def entry_of(line: bytes) -> Entry:
    """Return the entry of a line; raises UsageError for anything else."""
    try:
        return Entry(**json.loads(line))
    except (TypeError, ValueError) as error:
        raise UsageError(f"no entry of a volume: {error}") from None


def become(owner: str, root: Path) -> None:
    """As root, change the owner of the folder to `owner`, `uid:gid`, and become that user; raises OSError."""
    uid, gid = (int(number) for number in owner.split(":"))
    os.chown(root, uid, gid)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


class Handler(BaseHTTPRequestHandler):
    """Handler of one connection; HTTP/1.1, so that one connection serves many small files."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written one after the other: the body waited 40 ms for an ACK
    settings: ClassVar[Settings]
    _begun = False  # whether the head of the answer to this request was sent

    @property
    def volume(self) -> FolderVolume:
        """The volume served."""
        return FolderVolume(self.settings.root)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
        """Log nothing: paths may be as private as their content."""

    def do_GET(self) -> None:
        """Return a file, the list of files, or their size."""
        words = {"walk": self._walk, "size": lambda: self._text(str(self._size())), "scan": self._scan}
        self._route({**words, "stat": self._stat}, self._read)

    def do_PUT(self) -> None:
        """Write a file, or unpack a tar stream."""
        self._route({"tar": self._untar, "stat": self._adjust}, lambda path: self._write(path, "wb"))

    def do_PATCH(self) -> None:
        """Append to a file."""
        self._route({}, lambda path: self._write(path, "ab"))

    def do_DELETE(self) -> None:
        """Remove a file or a folder."""
        self._route({}, self._remove)

    def do_POST(self) -> None:
        """Fill or drain the volume."""
        self._route({"fill": self._fill, "drain": self._drain}, None)

    def _route(self, words: dict[str, Callable[[], None]], on_file: Callable[[str], None] | None) -> None:
        self._begun = False
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.settings.token}".encode()):
            self._refuse(UNAUTHORIZED, "not the token of this agent")
            return
        kind, _, path = self.path.lstrip("/").partition("/")
        try:
            if kind in words:
                words[kind]()
            elif kind == "file" and on_file is not None:
                on_file(unquote(path, errors="surrogateescape"))
            else:
                self._refuse(NOT_FOUND, f"{self.command} {self.path}: no such resource")
        except UsageError as error:
            self._refuse(CONFLICT, str(error))
        except FileNotFoundError as error:
            self._refuse(NOT_FOUND, str(error.filename))
        except OSError as error:
            self._refuse(NO_ROOM if error.errno == errno.ENOSPC else FAILED, error.strerror or str(error))

    def _read(self, path: str) -> None:
        with self.volume.open(path, "rb") as file:
            left = os.fstat(file.fileno()).st_size
            self._head(OK, left)
            # A running program may append to it meanwhile: no more is sent than the announced length.
            while left and (piece := file.read(min(left, CHUNK))):
                self.wfile.write(piece)
                left -= len(piece)
            if left:
                self.close_connection = True  # tells the client that the rest is missing

    def _write(self, path: str, mode: str) -> None:
        with self.volume.open(path, mode) as file:
            for chunk in self._body():
                file.write(chunk)
        self._text("")

    def _remove(self, path: str) -> None:
        self.volume.remove(path)
        self._text("")

    def _walk(self) -> None:
        self._text(json.dumps([path for path in self.volume.walk() if path != BALLAST]))

    @property
    def _path(self) -> str:
        """The path in the volume that a request names."""
        return unquote(self.path.lstrip("/").partition("/")[2], errors="surrogateescape")

    def _scan(self) -> None:
        entries = (entry for entry in self.volume.scan(self._path) if entry.path != BALLAST)
        first = next(entries, None)  # a folder that cannot be listed is an error before the head is sent
        self._begun = True
        self.send_response(OK)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        batch = bytearray()
        for entry in entries if first is None else itertools.chain([first], entries):
            batch += line_of(entry)
            if len(batch) > CHUNK:
                self._chunk(batch)
                batch.clear()
        self._chunk(batch)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytearray) -> None:
        if data:  # an empty chunk is the end
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), bytes(data)))

    def _stat(self) -> None:
        self._text(line_of(self.volume.inspect(self._path)).decode())

    def _adjust(self) -> None:
        self._text(line_of(self.volume.adjust(entry_of(b"".join(self._body())))).decode())

    def _size(self) -> int:
        ballast = self.settings.root / BALLAST
        return self.volume.size - (ballast.stat().st_size if ballast.exists() else 0)

    def _untar(self) -> None:
        command = ["tar", "--extract", "--directory", str(self.settings.root), "--no-same-owner", "--same-permissions"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as tar:
            if tar.stdin is None or tar.stderr is None:
                raise OSError(errno.EPIPE, "tar has no input")
            with contextlib.suppress(BrokenPipeError):
                for chunk in self._body():
                    tar.stdin.write(chunk)
            with contextlib.suppress(BrokenPipeError):
                tar.stdin.close()
            said = tar.stderr.read().decode(errors="replace").strip().splitlines()
        if tar.returncode:
            raise OSError(errno.EIO, said[0] if said else f"tar ended with code {tar.returncode}")
        self._text("")

    def _fill(self) -> None:
        with (self.settings.root / BALLAST).open("ab", buffering=0) as ballast:
            for size in (CHUNK, 4096, 1):
                with contextlib.suppress(OSError):
                    while ballast.write(bytes(size)):
                        pass
        self._text("")

    def _drain(self) -> None:
        (self.settings.root / BALLAST).unlink(missing_ok=True)
        self._text("")

    def _body(self) -> Iterator[bytes]:
        """Yield the request's body, of a known length or in chunks (RFC 9112, section 7.1)."""
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            left = int(self.headers.get("Content-Length", "0"))
            while left and (piece := self.rfile.read(min(left, CHUNK))):
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _text(self, text: str) -> None:
        self._answer(OK, text)

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True  # the rest of the body is not read
        if not self._begun:  # otherwise the message would be taken for content of the file
            self._answer(status, why)

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self._head(status, len(body))
        self.wfile.write(body)

    def _head(self, status: int, size: int) -> None:
        self._begun = True
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        if self.close_connection:  # otherwise the client may reuse this connection just before it is closed
            self.send_header("Connection", "close")
        self.end_headers()


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings.read()
    if owner := os.environ.get("AGENT_OWNER", ""):
        become(owner, settings.root)
    os.umask(0o077)
    # The first process of a container ignores a signal for which it has no handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Handler.settings = settings
    server = ThreadingHTTPServer(("0.0.0.0", settings.port), Handler)  # noqa: S104 - a container's own address
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
