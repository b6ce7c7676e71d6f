"""Unpacking: a stream of tar as files or objects, compared with the manifest while it is read.

Small members are written by a few threads; a larger one is passed on as a stream.
"""

import hashlib
import io
import json
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import zstandard

from harness.backup.archive import CHUNK, SMALL, WORKERS, Member, Tally, member_of
from harness.core.contents import TreeFacts
from harness.core.errors import RestoreFailed
from harness.core.node import Readable

READ = 64 << 10  # bytes that tarfile reads at once


Write = Callable[[Member, Readable], None]


class Inventory:
    """The members of an archive with the SHA-256 of their contents, compressed: far less memory than their names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._packer = zstandard.ZstdCompressor().compressobj()
        self._packed = bytearray()

    def add(self, member: Member, digest: str) -> None:
        """Add a member. `digest`: of its content, hex."""
        self._packed += self._packer.compress(member.line(digest).encode())

    def members(self) -> Iterator[tuple[Member, str]]:
        """Yield every member with the digest of its content, in the order of the archive; no more can be added."""
        self._packed += self._packer.flush()
        self._packer = zstandard.ZstdCompressor().compressobj()
        with zstandard.ZstdDecompressor().stream_reader(bytes(self._packed), read_across_frames=True) as packed:
            for line in io.BufferedReader(packed, CHUNK):
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
    """Pass every member to `write`, and compare all with the manifest; return what it contained.

    What the backup names as missing is passed over. `write` is called in several threads. Raises RestoreFailed.
    """
    tally, inventory, lost = Tally(name), Inventory(name), {missing.path for missing in expected.missing}
    stream = io.BufferedReader(_Stream(chunks), CHUNK)
    try:
        with (
            tarfile.open(fileobj=stream, mode="r|", bufsize=READ, encoding="utf-8") as archive,
            _Writers(write) as writers,
        ):
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps the headers of all members
                member = member_of(name, info)
                content = archive.extractfile(info) or io.BytesIO()
                if member.name in lost:
                    continue
                if member.size <= SMALL:
                    data = content.read()
                    digest = hashlib.sha256(data).hexdigest()
                    writers.write(member, data)
                else:
                    source = _Hashing(content)
                    write(member, source)
                    digest = source.digest.hexdigest()
                tally.add(member, digest)
                inventory.add(member, digest)
    except tarfile.TarError as error:
        raise RestoreFailed(f"{name}: the archive is damaged ({error}); use another backup") from error
    _require_equal(name, tally.facts, expected)
    return inventory


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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for future in self._running:
                future.result()
