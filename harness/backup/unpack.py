"""Unpacking: a stream of tar as files or objects, compared with the manifest while it is read.

Small members are written by a few threads; a larger one is passed on as a stream.
"""

import hashlib
import io
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from harness.backup.archive import CHUNK, SMALL, WORKERS, Member, Tally, in_json, member_of
from harness.backup.tar import members, shown
from harness.core.contents import TreeFacts
from harness.core.errors import RestoreFailed, reason_of
from harness.core.node import Readable
from harness.on_disk import Lines, Names

Write = Callable[[Member, Readable], None]


class Inventory:
    """The members of an archive with the SHA-256 of their contents, in little memory however many they are."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lines = Lines()

    def add(self, member: Member, digest: str) -> None:
        """Add a member. `digest`: of its content, hex. Raises HarnessError where the disk is full."""
        line = member.line(digest)
        if member.folder:  # of a file both are set when it is written
            line = in_json({**json.loads(line), "mode": member.mode, "mtime": member.mtime}) + "\n"
        self._lines.add(line.encode())

    def members(self) -> Iterator[tuple[Member, str]]:
        """Yield every member with the digest of its content, in the order of the archive."""
        for line in self._lines:
            data = json.loads(line)
            digest, headers = data.pop("sha256"), "headers" in data
            yield Member(**data, object=headers), digest


class _Stream(io.RawIOBase):
    """An iterator of chunks as a readable file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._chunks, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class _Hashing:
    """A member that is hashed while it is read."""

    def __init__(self, source: Readable) -> None:
        self._source, self.digest, self.size = source, hashlib.sha256(), 0

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        self.size += len(data)
        return data


def unpack(name: str, chunks: Iterator[bytes], expected: TreeFacts, write: Write) -> Inventory:
    """Pass every file or object to `write`, and compare all with the manifest; return what it contained.

    A folder's mode and time are set when all archives of its volume are unpacked: by what this returns.
    What the backup names as missing is passed over. A member that exceeds the manifest's number of files or of bytes is
    refused at its header, and so is a second one of a name. `write` is called in several threads. Raises RestoreFailed,
    HarnessError.
    """
    tally, inventory, lost = Tally(name), Inventory(name), {missing.name for missing in expected.missing}
    seen = Names()
    stream = io.BufferedReader(_Stream(chunks), CHUNK)
    with _Writers(_typed(name, write)) as writers:
        for header, content in members(name, stream):
            member = member_of(name, header)
            if not seen.add(member.name):
                raise RestoreFailed(f"{name}: {shown(member.name)} is in the archive twice; use another backup")
            if member.name in lost and not member.folder:  # that a folder is no file does not lose it
                continue
            _require_room(name, member, tally.facts, expected)
            if member.folder:
                digest = hashlib.sha256().hexdigest()
            elif member.size <= SMALL:
                data = content.read(member.size)
                digest = hashlib.sha256(data).hexdigest()
                writers.write(member, data)
            else:
                source = _Hashing(content)
                writers.now(member, source)
                digest = source.digest.hexdigest()
            tally.add(member, digest)
            inventory.add(member, digest)
    _require_equal(name, tally.facts, expected)
    return inventory


def _typed(name: str, write: Write) -> Write:
    """Return `write` with a name or a header that cannot be encoded as RestoreFailed."""

    def typed(member: Member, source: Readable) -> None:
        try:
            write(member, source)
        except ValueError as error:
            raise RestoreFailed(f"{name}: {shown(member.name)} cannot be written: {reason_of(error)}") from error

    return typed


def _require_room(name: str, member: Member, found: TreeFacts, expected: TreeFacts) -> None:
    """Refuse a member that the manifest has no room for; raises RestoreFailed."""
    files, size = found.files + (not member.folder), found.size + member.size
    if files > expected.files or size > expected.size:
        raise RestoreFailed(
            f"{name}: {shown(member.name)} of {member.size} bytes is more than the manifest has: "
            f"{expected.files} files, {expected.size} bytes; use another backup"
        )


def _require_equal(name: str, found: TreeFacts, expected: TreeFacts) -> None:
    if (found.files, found.size, found.digest) != (expected.files, expected.size, expected.digest):
        raise RestoreFailed(
            f"{name}: {found.files} files, {found.size} bytes restored; manifest: "
            f"{expected.files} files, {expected.size} bytes, or their contents differ"
        )


class _Writers:
    """A few threads that write small members; the first failure is raised by the next call, or at the end."""

    def __init__(self, write: Write) -> None:
        self._write, self._pool = write, ThreadPoolExecutor(WORKERS, thread_name_prefix="unpack")
        self._running: deque[Future[None]] = deque()

    def write(self, member: Member, data: bytes) -> None:
        """Begin to write a member; wait while many are being written."""
        self._running.append(self._pool.submit(self._write, member, io.BytesIO(data)))
        if len(self._running) > 2 * WORKERS:
            self._running.popleft().result()

    def now(self, member: Member, source: Readable) -> None:
        """Write a member that is streamed; return when it is written."""
        self._write(member, source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for future in self._running:
                future.result()
