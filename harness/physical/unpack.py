"""Unpacking of a base backup and its WAL into an empty data folder."""

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from harness.core.errors import RestoreFailed, UsageError
from harness.core.parallel import in_order
from harness.physical.backup import FOLDER, MANIFEST
from harness.physical.choice import Way
from harness.repository.format.seal import reader_of
from harness.repository.wal.reader import WalReader
from harness.substrate.common.filesystem import remove_tree

VERSION = "PG_VERSION"
SPACES = "pg_tblspc"
FETCHED = 3  # segments at a time
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def require_empty(folder: Path) -> None:
    """Raise UsageError unless a folder can be restored into: it is missing or empty, and in no data directory."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"--into {folder}: is no folder; name a new one")
    if folder.is_dir() and any(folder.iterdir()):
        what = "has a database server's data" if (folder / VERSION).exists() else "is not empty"
        raise UsageError(f"--into {folder}: {what}, and nothing is restored over it; name a new folder")
    for parent in folder.absolute().parents:
        if (parent / VERSION).exists():
            raise UsageError(f"--into {folder}: is inside the data directory {parent}; name a folder elsewhere")
    if not folder.absolute().parent.is_dir():
        raise UsageError(f"--into {folder}: its parent folder does not exist; make it")


def spaces_of(folder: Path) -> Path:
    """Return the folder in which the tablespaces of a restored data folder are."""
    return folder.with_name(f"{folder.name}-tablespaces")


def require_room(folder: Path, needed: int) -> None:
    """Raise UsageError when the disk of a folder has less than `needed` bytes."""
    stat = os.statvfs(folder.absolute().parent)
    free = stat.f_bavail * stat.f_frsize
    if free < needed:
        raise UsageError(
            f"--into {folder}: {free >> 20} MiB are free, {needed >> 20} MiB are needed; name another disk"
        )


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make the data folder and that of its tablespaces; after an error both are as they were before."""
    spaces, there = spaces_of(folder), folder.is_dir()
    require_empty(spaces)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    try:
        yield
    except BaseException:
        remove_tree(folder)
        remove_tree(spaces)
        if there:
            folder.mkdir(mode=0o700)
        raise


def unpack(way: Way, folder: Path, progress: Callable[[int], None] | None = None) -> None:
    """Write the base backup into an empty folder. Raises Unreadable if it is not authentic, RestoreFailed, OSError."""
    for oid, _ in way.facts.tablespaces:
        space = spaces_of(folder) / oid
        space.mkdir(mode=0o700, parents=True)
        _extract(way.backup.read(f"{FOLDER}/{oid}.tar", progress), space, {})
    links = {f"{SPACES}/{oid}": spaces_of(folder).absolute() / oid for oid, _ in way.facts.tablespaces}
    _extract(way.backup.read(f"{FOLDER}/base.tar", progress), folder, links)
    _write(folder / "backup_manifest", way.backup.read(MANIFEST, progress))


def place_wal(way: Way, reader: WalReader, folder: Path) -> None:
    """Write the WAL that the recovery reads into pg_wal, each file as long as the server expects it.

    Raises Unreadable for a file that is not authentic.
    """
    for shipped, data in in_order(reader.read, (*way.histories, *way.files), FETCHED):
        lacking = 0 if shipped.entry.is_history else way.facts.segment_size - len(data)
        path = folder / "pg_wal" / shipped.entry.name
        if not path.exists():
            _write(path, (data, bytes(lacking)))


class _Stream:
    """Chunks as a file that tarfile reads."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.read = reader_of(chunks)


def _extract(chunks: Iterable[bytes], folder: Path, links: dict[str, Path]) -> None:
    """Write the members of a tar archive: folders, files, and the links of tablespaces to where they are now."""
    stream = _Stream(chunks)
    with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|") as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                raise RestoreFailed(f"{member.name}: a path that leads out of the data folder")
            path = folder / name
            if member.isdir():
                path.mkdir(mode=0o700, exist_ok=True)
            elif member.isreg() and (source := archive.extractfile(member)) is not None:
                _write(path, iter(lambda source=source: source.read(1 << 20), b""))  # type: ignore[misc]
            elif member.issym() and str(name) in links:
                path.symlink_to(links[str(name)])
            else:
                raise RestoreFailed(f"{member.name}: neither a folder nor a file nor the link of a tablespace")
    while stream.read(1 << 20):  # to the end, where the digest is compared
        pass


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    with os.fdopen(os.open(path, NEW, 0o600), "wb") as file:
        for chunk in chunks:
            file.write(chunk)
