"""Tar archives of the files and objects that a database refers to: packing, unpacking and comparison."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from harness.core.contents import TreeFacts
from harness.core.errors import BackupFailed, HarnessError, RestoreFailed
from harness.core.service import Objects, Place, Tree
from harness.postgres.checks import column
from harness.s3.client import ERRORS, asked, client, ensure_bucket, said

CHUNK = 1 << 20
RESTORED = "blackstart-restored"  # metadata key of a restored object: the backup that it came from


@dataclass(slots=True)
class Archive:
    """An archive that is being packed; `facts` are complete once `chunks` is exhausted."""

    name: str
    database: str
    paths: tuple[str, ...]
    read: Callable[[str], bytes]  # content of one file; raises OSError or HarnessError
    sha1_named: bool = False  # the last part of a path is the SHA-1 of its content
    lines: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def facts(self) -> TreeFacts:
        """Return count, size and digest of the packed files."""
        return TreeFacts(self.name, len(self.lines), self.size, digest_of(self.lines))

    def chunks(self) -> Iterator[bytes]:
        """Yield a POSIX tar stream. Raises BackupFailed for a missing or damaged file."""
        for path in self.paths:
            yield from self._member(path)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _member(self, path: str) -> Iterator[bytes]:
        try:
            data = self.read(path)
        except (OSError, HarnessError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise BackupFailed(
                f"{self.name}: {path} is referenced by database {self.database} and cannot be read "
                f"({reason}); restore the file or delete its row"
            ) from None
        # Odoo names files by the SHA-1 of their content; it is no security feature.
        if self.sha1_named and hashlib.sha1(data, usedforsecurity=False).hexdigest() != path.rsplit("/", 1)[-1]:
            raise BackupFailed(f"{self.name}: {path}: checksum mismatch (its name is its SHA-1); restore the file")
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
    """Return the SHA-256 of the sorted lines of a tree, hex."""
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def tar_tree(place: Place, tree: Tree) -> Archive:
    """Return the archive of every file that the database refers to; raises HarnessError."""
    volume = place.site.volume(tree.volume)

    def read(path: str) -> bytes:
        with volume.open(f"{tree.folder}/{path}", "rb") as source:
            return source.read()

    paths = column(place.sql, tree.database, tree.referenced)
    return Archive(tree.name, tree.database, tuple(sorted(paths)), read, tree.sha1_named)


def name_of(objects: Objects) -> str:
    """Return the name of a bucket's archive in a backup."""
    return f"bucket-{objects.bucket}"


def tar_objects(place: Place, objects: Objects) -> Archive:
    """Return the archive of every object that the database refers to; raises HarnessError."""
    store = client(place.s3)

    def read(key: str) -> bytes:
        try:
            with store.get_object(objects.bucket, key) as answer:
                return bytes(answer.read())
        except ERRORS as error:
            raise HarnessError(said(error)) from None

    keys = column(place.sql, objects.database, objects.referenced)
    return Archive(name_of(objects), objects.database, tuple(sorted(keys)), read)


class _Stream(io.RawIOBase):
    """An iterator of chunks as a readable file."""

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


def untar(name: str, chunks: Iterator[bytes], expected: TreeFacts, write: Callable[[str, bytes], None]) -> None:
    """Pass every file to `write` and compare all with the manifest; raises RestoreFailed."""
    lines, size = [], 0
    with tarfile.open(fileobj=io.BufferedReader(_Stream(chunks), CHUNK), mode="r|") as archive:
        for member in archive:
            source = archive.extractfile(member)
            if source is None:
                raise RestoreFailed(f"{name}: {member.name} is not a regular file; use another backup")
            data = source.read()
            write(member.name, data)
            lines.append(line_of(member.name, data))
            size += len(data)
    found = TreeFacts(name, len(lines), size, digest_of(lines))
    if found != expected:
        raise RestoreFailed(
            f"{name}: {found.files} files, {found.size} bytes restored; manifest: "
            f"{expected.files} files, {expected.size} bytes, or their contents differ"
        )


def into_volume(place: Place, tree: Tree) -> Callable[[str, bytes], None]:
    """Return a function that writes one file of a tree to its volume."""
    volume = place.site.volume(tree.volume)

    def write(path: str, data: bytes) -> None:
        with volume.open(f"{tree.folder}/{path}", "wb") as target:
            target.write(data)

    return write


def into_bucket(place: Place, objects: Objects, backup_id: str) -> Callable[[str, bytes], None]:
    """Return what writes one object, tagged, unless replication has copied it. Both raise RestoreFailed."""
    ensure_bucket(place.s3, objects.bucket)
    store = client(place.s3)
    with asked(place.s3, objects.bucket, "cannot be listed", RestoreFailed):
        there = {entry.object_name for entry in store.list_objects(objects.bucket, recursive=True)}

    def write(key: str, data: bytes) -> None:
        if key in there:
            return
        with asked(place.s3, objects.bucket, f"{key} cannot be written", RestoreFailed):
            store.put_object(objects.bucket, key, io.BytesIO(data), len(data), metadata={RESTORED: backup_id})

    return write
