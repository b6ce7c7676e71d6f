"""Private folders and files of a run: plain names, modes 0700 and 0600, complete removal."""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import TracebackType

from harness.core.errors import HarnessError, UsageError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
FLUSHES = 16  # files that are written to disk at a time
# From linux/fs.h: requests of ioctl that read and write the flags of a folder, and the flag that `chattr +T` sets.
GET_FLAGS, SET_FLAGS, APART = 0x80086601, 0x40086602, 0x00020000
Raised = tuple[type[BaseException], BaseException, TracebackType]


def parts_of(volume: str, path: str) -> list[str]:
    """Return the parts of a relative path inside a volume; raises UsageError for a path that could leave it."""
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\0" in path:
        raise UsageError(f"volume {volume}: {path!r} leaves the volume, or names nothing in it")
    return list(parts)


def plain(kind: str, name: str) -> str:
    """Return `name` when a folder can have it; otherwise raises UsageError, which calls it a `kind`."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r}: not a name for a {kind}; use letters, digits, '_', '.' and '-'")
    return name


def make_folder(folder: Path) -> Path:
    """Create a folder and its missing parents with mode 0700; return it. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def keep_apart(folder: Path) -> Path:
    """Let the folders in `folder` be laid out far from each other, where the file system can; return it.

    ext4 without a journal passes over inodes that were deleted in the last minutes, one by one (`recently_deleted` in
    its ialloc.c): beside 4,000 removed files the creation of 4,000 took 1.5 s, and 0.1 s far from them. It derives the
    place from the folder's name, so that this is for folders whose names are not used again.
    """
    with contextlib.suppress(OSError):  # another file system, or another owner: a matter of speed alone
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            (flags,) = struct.unpack("l", fcntl.ioctl(descriptor, GET_FLAGS, struct.pack("l", 0)))
            if not flags & APART:
                fcntl.ioctl(descriptor, SET_FLAGS, struct.pack("l", flags | APART))
        finally:
            os.close(descriptor)
    return folder


def write_files(home: Path, contents: Mapping[str, str]) -> None:
    """Write files, by relative path, into a folder that is created; their mode is 0600. Raises OSError."""
    for name, text in contents.items():
        path = home / name
        make_folder(path.parent)
        path.touch(mode=0o600)
        path.chmod(0o600)  # a file that existed may have another mode
        path.write_text(text, encoding="utf-8")


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, write-protected or not; a folder that does not exist is no error.

    Raises HarnessError that names what could not be removed.
    """

    def open_and_retry(_remove: Callable[..., object], name: str, error: Raised) -> None:
        if isinstance(error[1], FileNotFoundError):
            return
        path = Path(name)
        try:
            if path != folder:  # the mode of the folder's own parent must not be changed
                path.parent.chmod(stat.S_IRWXU)
            if path.is_dir() and not path.is_symlink():
                path.chmod(stat.S_IRWXU)
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except OSError as second:
            raise HarnessError(f"{path}: cannot be removed ({second.strerror}); remove it by hand") from None

    if os.path.lexists(folder):
        shutil.rmtree(folder, onerror=open_and_retry)


def write_to_disk(folder: Path) -> None:
    """Return once all files and folders in a folder, and it itself, are on the disk. Raises OSError.

    Many at a time: a disk takes a hundred waiting writes together, one after the other each waits for its own.
    """

    def flush(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    with ThreadPoolExecutor(FLUSHES) as pool:
        for above, _, names in os.walk(folder, topdown=False):
            files = [path for path in map(Path(above).joinpath, names) if stat.S_ISREG(path.lstat().st_mode)]
            list(pool.map(flush, files))
            flush(Path(above))


def remove_if_empty(file: Path) -> None:
    """Remove a file of size 0; one that does not exist, or that is removed at the same time, is no error."""
    with contextlib.suppress(FileNotFoundError):
        if not file.stat().st_size:
            file.unlink()
