"""Strict reader of a tar stream in PAX format, as `pack` writes it: every length is bounded before it is read.

`tarfile` reads the PAX records of a member whole, however long their header says they are, and follows any number of
them; so only its parser of one block is used.
"""

import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.core.errors import RestoreFailed
from harness.core.node import FILE, FOLDER, MODE, Readable

BLOCK = tarfile.BLOCKSIZE
MOST_RECORDS = 1 << 20  # bytes of a member's PAX records: its key, its headers, its tags
MOST_SECONDS = 1 << 40  # of a time
DIGITS = 20  # of a length or a size
CHUNK = 1 << 20  # bytes
SHOWN = 120  # characters of a name in a message


@dataclass(frozen=True, slots=True)
class Header:
    """A header. `records`: PAX records of the member that `harness.backup.archive` knows; `size` in bytes."""

    name: str
    size: int
    mode: int
    mtime: float
    folder: bool
    records: Mapping[str, str]


class Source(Protocol):
    """A buffered stream: `read` returns as many bytes as it is asked for, less only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return bytes."""


class Content:
    """The content of one member; what is not read of it is passed over by the reader."""

    def __init__(self, read: Callable[[int], bytes], size: int) -> None:
        self._read, self.left = read, size

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at its end. Raises RestoreFailed when the archive ends before."""
        count = min(size, self.left)
        self.left -= count
        return self._read(count) if count else b""


def members(archive: str, stream: Source) -> Iterator[tuple[Header, Readable]]:
    """Yield header and content of every member; the content is valid until the next one. Raises RestoreFailed.

    `archive`: its name in messages. Ends at the end of the stream, after which there is nothing but zeros.
    """
    reader = _Reader(archive, stream)
    while (header := reader.header()) is not None:
        content = Content(reader.exactly, header.size)
        yield header, content
        while content.left:
            content.read(CHUNK)
        reader.exactly(-header.size % BLOCK)
    while rest := stream.read(CHUNK):
        if any(rest):
            raise reader.damaged("something follows its end")


class _Reader:
    def __init__(self, archive: str, stream: Source) -> None:
        self._archive, self._stream = archive, stream

    def damaged(self, why: str) -> RestoreFailed:
        """Return the error for an archive that is malformed."""
        return RestoreFailed(f"{self._archive}: the archive is damaged ({why}); use another backup")

    def exactly(self, count: int) -> bytes:
        """Return the next bytes; raises RestoreFailed when there are less."""
        data = self._stream.read(count)
        if len(data) != count:
            raise self.damaged("it ends too early")
        return data

    def header(self) -> Header | None:
        """Return the next header with its PAX records, None for the end of the archive. Raises RestoreFailed."""
        block = self.exactly(BLOCK)
        if not any(block):
            return None
        info = self._parse(block)
        if info.type != tarfile.XHDTYPE:
            return self._header(info, {})
        if not 0 < info.size <= MOST_RECORDS:
            raise self.damaged(f"PAX records of {info.size} bytes")
        records = self._records(self.exactly(info.size + -info.size % BLOCK)[: info.size])
        return self._header(self._parse(self.exactly(BLOCK)), records)

    def _parse(self, block: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.TarError as error:
            raise self.damaged(str(error)) from None

    def _records(self, text: bytes) -> dict[str, str]:
        """Return PAX records: `LENGTH KEY=VALUE` and a line feed, each as long as it says, in bytes."""
        found: dict[str, str] = {}
        at = 0
        while at < len(text):
            digits, space, _ = text[at : at + DIGITS].partition(b" ")
            length = int(digits) if digits.isdigit() else 0
            record = text[at : at + length]
            key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
            if not space or len(record) != length or record[-1:] != b"\n" or not equals or not key:
                raise self.damaged("a PAX record is malformed")
            name = key.decode("utf-8", "surrogateescape")
            if name in found:
                raise self.damaged("a PAX record is there twice")
            found[name] = value.decode("utf-8", "surrogateescape")
            at += length
        return found

    def _header(self, info: tarfile.TarInfo, records: Mapping[str, str]) -> Header:
        name = records.get("path", info.name)
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
            raise RestoreFailed(
                f"{self._archive}: {shown(name)} is neither a regular file nor a folder; use another backup"
            )
        folder = info.type == tarfile.DIRTYPE
        size, mtime = info.size, float(info.mtime)
        if (given := records.get("size")) is not None:
            size = int(given) if given.isascii() and given.isdigit() and len(given) <= DIGITS else -1
        try:
            mtime = float(records.get("mtime", mtime))
        except ValueError:
            raise self.damaged(f"{shown(name)}: its time is no number") from None
        if size < 0 or (folder and size):
            raise self.damaged(f"{shown(name)}: a size that none has")
        if not abs(mtime) < MOST_SECONDS:  # NaN is no less
            raise self.damaged(f"{shown(name)}: a time that none has")
        mode = info.mode & MODE[FOLDER if folder else FILE]
        return Header(name.rstrip("/") if folder else name, size, mode, mtime, folder, records)


def shown(name: str) -> str:
    """Return a name of a member for a message: in one line, of bounded length."""
    text = name.encode("unicode_escape").decode("ascii")
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
