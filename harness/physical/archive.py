"""Reader of the tar archives of a base backup, as PostgreSQL writes them: ustar, names of at most 99 bytes.

The content of a file is passed on as views of the chunks that came, without a copy: with `tarfile`, which copies each
byte several times, half of a restore's processor time went there.
"""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.core.errors import RestoreFailed

BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Member:
    """A member. `end`: bytes of the archive up to its end; `content`: of a file, to be read before the next member."""

    info: tarfile.TarInfo
    end: int
    content: Iterator[memoryview]


def members(archive: str, chunks: Iterable[bytes]) -> Iterator[Member]:
    """Yield each member; what is not read of one is passed over. `chunks` is read to its end.

    `archive`: its name in messages. Raises RestoreFailed for one that is malformed, and as `chunks`.
    """
    source = _Source(archive, chunks)
    while any(head := source.exactly(BLOCK)):
        try:
            info = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.TarError as error:
            raise source.damaged(str(error)) from None
        size = info.size if info.isreg() else 0
        if size < 0:
            raise source.damaged(f"{info.name}: a size of {size} bytes")
        end = source.at + size + -size % BLOCK
        content = source.views(size)
        yield Member(info, end, content)
        for _ in content:
            pass
        source.exactly(end - source.at)
    source.drain()


class _Source:
    """Chunks in order. `at`: bytes that were taken."""

    def __init__(self, archive: str, chunks: Iterable[bytes]) -> None:
        self._archive, self._chunks, self._rest = archive, iter(chunks), memoryview(b"")
        self.at = 0

    def damaged(self, why: str) -> RestoreFailed:
        """Return the error of a malformed archive."""
        return RestoreFailed(f"{self._archive}: the archive is damaged ({why}); use another backup")

    def views(self, size: int) -> Iterator[memoryview]:
        """Yield the next `size` bytes. Raises RestoreFailed at the end of the archive."""
        while size:
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise self.damaged("it ends too early")
                self._rest = memoryview(chunk)
                del chunk
            piece, self._rest = self._rest[:size], self._rest[size:]
            size, self.at = size - len(piece), self.at + len(piece)
            yield piece

    def exactly(self, size: int) -> bytes:
        """Return the next `size` bytes, which are few. Raises RestoreFailed at the end of the archive."""
        return b"".join(self.views(size))

    def drain(self) -> None:
        """Read to the end of the chunks, where their digest is compared. Raises RestoreFailed for data after the end.

        PostgreSQL ends an archive with two blocks of zeros; `tar` may write more of them.
        """
        if any(self._rest) or any(map(any, self._chunks)):
            raise self.damaged("something follows its end")
