"""Folders of files that belong to a database: packed in a tar stream, unpacked on the DR site, compared."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.core.contents import TreeFacts
from harness.core.errors import BackupFailed, RestoreFailed
from harness.core.node import Volume
from harness.core.service import Place, Tree
from harness.postgres.server import connect

CHUNK = 1 << 20


@dataclass(slots=True)
class Archive:
    """A tree being packed; `facts` are whole once `chunks` is exhausted."""

    tree: Tree
    volume: Volume
    paths: tuple[str, ...]
    lines: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def facts(self) -> TreeFacts:
        """Return what was packed."""
        return TreeFacts(self.tree.name, len(self.lines), self.size, digest_of(self.lines))

    def chunks(self) -> Iterator[bytes]:
        """Yield a POSIX tar stream. Raises BackupFailed that names a file that is missing or damaged."""
        for path in self.paths:
            yield from self._member(path)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _member(self, path: str) -> Iterator[bytes]:
        where = f"{self.tree.folder}/{path}"
        try:
            with self.volume.open(where, "rb") as source:
                data = source.read()
        except OSError as error:
            raise BackupFailed(
                f"{self.tree.name}: {path} is referenced by database {self.tree.database} and cannot be read "
                f"({error.strerror}); restore the file or delete its row"
            ) from None
        # sha1 is Odoo's own name for the content, not a defence.
        if self.tree.sha1_named and hashlib.sha1(data, usedforsecurity=False).hexdigest() != path.rsplit("/", 1)[-1]:
            raise BackupFailed(f"{self.tree.name}: {path} does not hold what its name says; it is damaged")
        self.lines.append(line_of(path, data))
        self.size += len(data)
        info = tarfile.TarInfo(path)
        info.size = len(data)
        yield info.tobuf(tarfile.PAX_FORMAT)
        yield data
        if len(data) % tarfile.BLOCKSIZE:
            yield bytes(tarfile.BLOCKSIZE - len(data) % tarfile.BLOCKSIZE)


def line_of(path: str, data: bytes) -> str:
    """Return one file's line of a tree digest."""
    return f"{path}\0{hashlib.sha256(data).hexdigest()}\n"


def digest_of(lines: Iterable[str]) -> str:
    """Return the SHA-256, hex, over the sorted lines of a tree."""
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def tar_tree(place: Place, tree: Tree) -> Archive:
    """Return the archive of every file that the database refers to; raises HarnessError."""
    with connect(place.sql, tree.database) as connection:
        rows = connection.execute(tree.referenced.encode()).fetchall()
    paths = tuple(sorted(str(row[0]) for row in rows))
    return Archive(tree, place.site.volume(tree.volume), paths)


class _Stream(io.RawIOBase):
    """Chunks as a readable file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._chunks, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def untar_tree(volume: Volume, tree: Tree, chunks: Iterator[bytes], expected: TreeFacts) -> None:
    """Unpack into the volume and compare with what the manifest says; raises RestoreFailed."""
    lines, size = [], 0
    with tarfile.open(fileobj=io.BufferedReader(_Stream(chunks), CHUNK), mode="r|") as archive:
        for member in archive:
            source = archive.extractfile(member)
            if source is None:
                raise RestoreFailed(f"{tree.name}: {member.name} is no plain file; the archive is not ours")
            data = source.read()
            with volume.open(f"{tree.folder}/{member.name}", "wb") as target:
                target.write(data)
            lines.append(line_of(member.name, data))
            size += len(data)
    found = TreeFacts(tree.name, len(lines), size, digest_of(lines))
    if found != expected:
        raise RestoreFailed(
            f"{tree.name}: {found.files} files, {found.size} bytes restored; the manifest says "
            f"{expected.files} files, {expected.size} bytes, or their contents differ"
        )
