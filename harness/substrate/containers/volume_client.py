"""Client of a volume's agent: reads and writes a volume of a site of containers over HTTP."""

import contextlib
import errno
import io
import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast
from urllib.parse import quote

import urllib3

from harness.core.errors import HarnessError, UsageError
from harness.core.node import Address, Entry, Skips
from harness.patience import PATIENCE
from harness.substrate.common.filesystem import parts_of
from harness.substrate.containers.volume_agent import CHUNK, CONFLICT, NO_ROOM, NOT_FOUND, OK, entry_of, line_of

PIECE = 4 * CHUNK  # bytes that are sent at once


@dataclass(frozen=True, slots=True)
class AgentVolume:
    """A volume, reached through its agent at `address`; connections are reused."""

    name: str
    address: Address
    token: str = field(repr=False)
    pool: urllib3.HTTPConnectionPool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        host, port = self.address.host, self.address.port
        pool = urllib3.HTTPConnectionPool(host, port, timeout=PATIENCE.volume_agent_silence, maxsize=8, retries=False)
        object.__setattr__(self, "pool", pool)

    def open(self, path: str, mode: str) -> IO[bytes]:
        """Open for `rb` or `wb`; parents are made. Raises OSError, UsageError."""
        where = self._file(path)
        if mode == "wb":
            self.ask("PUT", where, b"")  # a bad path is reported now, as a file system does
            return cast("IO[bytes]", io.BufferedWriter(_Writing(self, where), PIECE))
        if mode != "rb":
            raise UsageError(f"volume {self.name}: mode {mode!r} is neither rb nor wb")
        with _whole(self.name):
            answer = self.pool.request("GET", where, headers=self._headers, preload_content=False)
        if answer.status != OK:
            self._complain(answer.status, answer.data.decode(errors="replace"))
        return cast("IO[bytes]", _Received(_Reading(answer, self.name), int(answer.headers["Content-Length"])))

    def walk(self) -> Iterator[str]:
        """Yield the relative path of every file in it, sorted. Raises OSError."""
        yield from sorted(str(path) for path in json.loads(self.ask("GET", "/walk", None)))

    def scan(self, folder: str, skips: Skips | None = None) -> Iterator[Entry]:
        """Yield everything below `folder` that `skips` does not pass over, sorted, a folder after what is in it.

        Raises OSError, UsageError.
        """
        with _whole(self.name):
            answer = self.pool.request(
                "GET", self._at("scan", folder) if folder else "/scan", headers=self._headers, preload_content=False
            )
        if answer.status != OK:
            self._complain(answer.status, answer.data.decode(errors="replace"))
        rest = b""
        with _whole(self.name):
            for piece in answer.stream(CHUNK):
                *lines, rest = (rest + piece).split(b"\n")
                yield from (one for one in map(entry_of, lines) if skips is None or not skips(one.path))
        answer.release_conn()

    def inspect(self, path: str) -> Entry:
        """Return what is at a path. Raises OSError, UsageError."""
        return entry_of(self.ask("GET", self._at("stat", path), None))

    def adjust(self, entry: Entry) -> Entry:
        """Give a file or a folder, which is created, mode and mtime of `entry`; return what it has then.

        Raises OSError, UsageError.
        """
        return entry_of(self.ask("PUT", self._at("stat", entry.path), line_of(entry)))

    def remove(self, path: str) -> None:
        """Delete a file or a folder with all in it; a path that does not exist is no error."""
        self.ask("DELETE", self._file(path), None)

    @property
    def size(self) -> int:
        """Total size of its files in bytes."""
        return int(self.ask("GET", "/size", None))

    def unpack(self, source: Path) -> None:
        """Copy a folder of this machine into it, with modes and without owners. Raises HarnessError."""
        # Not the folder itself: the owner, mode and times of the volume's root must not be changed.
        names = sorted(f"./{entry.name}" for entry in source.iterdir())
        if not names:
            return
        command = ["tar", "--create", "--directory", str(source), "--numeric-owner", "--", *names]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tar:
            out = tar.stdout
            if out is None or tar.stderr is None:
                raise HarnessError(f"volume {self.name}: tar has no output")
            try:
                self.ask("PUT", "/tar", iter(lambda: out.read(CHUNK), b""))
            except OSError as error:
                tar.kill()
                raise HarnessError(f"volume {self.name}: {source} cannot be copied: {error}") from None
            said = tar.stderr.read().decode(errors="replace").strip().splitlines()
        if tar.returncode:
            raise HarnessError(f"volume {self.name}: {source} cannot be read: {said[-1] if said else tar.returncode}")

    def ask(self, method: str, where: str, body: bytes | Iterable[bytes] | None) -> bytes:
        """Send a request to the agent and return the body of its answer; raises OSError, UsageError."""
        with _whole(self.name):
            answer = self.pool.request(method, where, body=body, headers=self._headers)
        if answer.status != OK:
            self._complain(answer.status, answer.data.decode(errors="replace"))
        return answer.data

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def _complain(self, status: int, why: str) -> None:
        if status == CONFLICT:
            raise UsageError(why)
        if status == NOT_FOUND:
            raise FileNotFoundError(errno.ENOENT, "no such file", why)
        raise OSError(errno.ENOSPC if status == NO_ROOM else errno.EIO, f"volume {self.name}: {why}")

    def _file(self, path: str) -> str:
        return self._at("file", path)

    def _at(self, word: str, path: str) -> str:
        parts = (quote(part, safe="", errors="surrogateescape") for part in parts_of(self.name, path))
        return f"/{word}/" + "/".join(parts)


@dataclass(frozen=True, slots=True)
class BoundedVolume(AgentVolume):
    """A volume of limited size, which can be filled without harm to the machine."""

    def fill(self) -> None:
        """Use up all free space. Raises OSError."""
        self.ask("POST", "/fill", b"")

    def drain(self) -> None:
        """Free that space again. Raises OSError."""
        self.ask("POST", "/drain", b"")


@contextlib.contextmanager
def _whole(volume: str) -> Iterator[None]:
    """Turn an incomplete or malformed HTTP answer into an OSError."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        why = str(error) or type(error).__name__
        raise OSError(errno.EIO, f"volume {volume}: its agent broke off ({why})") from None


class _Reading(io.RawIOBase):
    """A file that is being received; closing it closes the connection. Reading raises OSError when it is cut off."""

    def __init__(self, answer: urllib3.BaseHTTPResponse, volume: str) -> None:
        self._answer, self._volume = answer, volume

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with _whole(self._volume):
            piece = self._answer.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._answer.close()
        super().close()


class _Received(io.BufferedReader):
    """A file that is being received. `size`: its bytes when it was opened."""

    def __init__(self, raw: _Reading, size: int) -> None:
        super().__init__(raw, CHUNK)
        self.size = size


class _Writing(io.RawIOBase):
    """A file that is being sent: everything that is written is appended to it."""

    def __init__(self, volume: AgentVolume, where: str) -> None:
        self._volume, self._where = volume, where

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        self._volume.ask("PATCH", self._where, bytes(data))
        return len(data)
