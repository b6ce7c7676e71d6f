"""Folders of a directory that keeps objects, opened one by one so that no symbolic link is followed."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.repository.store.directory.names import CONTINUED, DEEPEST, decoded, is_part, object_of

MARKER = ".blackstart-repository"
FOLDER_MODE, FILE_MODE = 0o700, 0o600
TO_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
WHY = {
    errno.ENOSPC: "no space left; free some, or let `blackstart retention --apply` remove what expired",
    errno.EDQUOT: "the quota is used up; raise it, or let `blackstart retention --apply` remove what expired",
    errno.EFBIG: "its file system takes no file of that size; use another one",
    errno.EROFS: "it is mounted read-only; mount it for writing",
    errno.EACCES: "permission denied; give the folder to the user that runs blackstart",
    errno.EPERM: "permission denied; give the folder to the user that runs blackstart",
    errno.ESTALE: "the network file system lost it; mount it again",
    errno.ENOTDIR: "a file or a symbolic link is in the place of a folder; remove it",
    errno.ELOOP: "it is a symbolic link, which is not followed; remove it",
    errno.ENXIO: "it is a socket or a device; remove it",
    errno.ENODEV: "it is a device; remove it",
    errno.EISDIR: "it is a folder; remove it",
    errno.EIO: "its disk does not read or write it; look at the log of this machine's kernel, and at the disk",
    errno.EBADMSG: "its file system finds it damaged; look at the log of this machine's kernel, and at the disk",
    errno.EUCLEAN: "its file system finds it damaged; look at the log of this machine's kernel, and at the disk",
}
# Of one object that is read: a bad sector costs nobody the others.
DAMAGED = (errno.EIO, errno.EBADMSG, errno.EUCLEAN)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a folder. `key`: of the object, or what the keys below the folder begin with."""

    key: bytes
    name: str
    folder: bool
    info: os.stat_result


def marked(root: Path) -> int:
    """Return the directory, open. Raises HarnessError where it has no marker: its disk is not mounted."""
    folder = -1
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if stat.S_ISREG(os.stat(MARKER, dir_fd=folder, follow_symlinks=False).st_mode):
            return folder
        what = f"{MARKER} is no file"
    except FileNotFoundError:
        what = "is no folder" if folder < 0 else f"has no {MARKER}"
    except OSError as error:
        what = WHY.get(error.errno or 0, error.strerror or str(error))
    if folder >= 0:
        os.close(folder)
    raise HarnessError(f"store {root}: {what}: is its disk mounted? `blackstart repository new` makes a new repository")


def open_folder(name: str, parent: int, *, make: bool) -> int:
    """Return a folder of a folder, open; `make`: it is made where it does not exist. Raises OSError."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, FOLDER_MODE, dir_fd=parent)
            os.fsync(parent)
    return os.open(name, TO_FOLDER, dir_fd=parent)


def entries_of(folder: int, base: bytes, prefix: bytes) -> Iterator[Entry]:
    """Yield the objects and folders in a folder whose keys may begin with `prefix`."""
    with os.scandir(folder) as found:
        for one in found:
            key = decoded(one.name)
            inside = one.is_dir(follow_symlinks=False)
            if key is None or not (inside or one.is_file(follow_symlinks=False)):
                continue
            whole = base + key + (b"/" if inside and not one.name.endswith(CONTINUED) else b"")
            if whole.startswith(prefix) or (inside and prefix.startswith(whole)):
                with suppress(FileNotFoundError):
                    yield Entry(whole, one.name, inside, one.stat(follow_symlinks=False))


# What concerns one object, or one folder below the one that is listed, and costs nobody the others.
ITS_OWN = (errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV)


@contextmanager
def entered(entry: Entry, parent: int, depth: int) -> Iterator[tuple[int, ...]]:
    """Yield a folder of a folder, open, to read it; nothing where it is too deep, gone, or may not be read."""
    folder = -1
    try:
        if depth < DEEPEST:
            folder = open_folder(entry.name, parent, make=False)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in ITS_OWN:
            raise
    try:
        yield (folder,) if folder >= 0 else ()
    finally:
        if folder >= 0:
            os.close(folder)


def closed(folder: int, base: bytes, prefix: bytes, depth: int) -> Iterator[bytes]:
    """Yield what keys begin with below folders that `entered` passes over as they may not be read. Raises OSError."""
    for entry in list(entries_of(folder, base, prefix)):
        if entry.folder and depth < DEEPEST:
            with entered(entry, folder, depth) as found:
                if not found and not _gone(entry.name, folder):
                    yield entry.key
                for inner in found:
                    yield from closed(inner, entry.key, prefix, depth + 1)


def _gone(name: str, parent: int) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return True
    return False


def swept(folder: int, base: bytes, prefix: bytes, age: timedelta, depth: int) -> int:
    """Remove part files of that age, also below; return how many. `depth`: of the folder. Raises OSError."""
    with os.scandir(folder) as found:
        parts = [one for one in found if is_part(one.name) and one.is_file(follow_symlinks=False)]
    count, now = 0, SYSTEM.wall()
    for one in parts:
        with suppress(FileNotFoundError):
            written = datetime.fromtimestamp(one.stat(follow_symlinks=False).st_mtime, UTC)
            if (base + (decoded(object_of(one.name)) or b"")).startswith(prefix) and (not age or now - written >= age):
                os.unlink(one.name, dir_fd=folder)
                count += 1
    for entry in list(entries_of(folder, base, prefix)):
        if entry.folder:
            with entered(entry, folder, depth) as found_below:
                count += sum(swept(inner, entry.key, prefix, age, depth + 1) for inner in found_below)
    return count


def write_all(file: int, chunk: bytes) -> int:
    """Write a chunk and return its size. Raises OSError."""
    left = memoryview(chunk)
    while left:
        left = left[os.write(file, left) :]
    return len(chunk)
