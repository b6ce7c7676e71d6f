"""A directory as an object store: what is listed is whole, and symbolic links are never followed.

An object is written to a part file in its folder, synced, and renamed. A file at the top marks the directory: without
it the disk is not mounted, and nothing is read, listed or written. Every path is opened folder by folder from there.
"""

import errno
import heapq
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Unreadable
from harness.repository.store.directory.names import CONTINUED, decoded, files_of, is_part, object_of, part_of
from harness.repository.store.pace import Pace, paced
from harness.repository.store.port import StoredObject

MARKER = ".blackstart-repository"
FOLDER_MODE, FILE_MODE = 0o700, 0o600
CHUNK = 1 << 20
ATTEMPTS = 8  # of opening a folder that another thread removes because it is empty
TO_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
TO_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
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
    errno.EISDIR: "it is a folder; remove it",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of a folder. `key`: of the object, or what the keys below the folder begin with."""

    key: bytes
    name: str
    folder: bool
    info: os.stat_result


@dataclass(frozen=True, slots=True)
class DirectoryStore:
    """A marked directory. Safe to use from several threads and processes."""

    root: Path
    upload: Pace | None = None
    download: Pace | None = None

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store one object and return its size in bytes; the object before it is replaced only when this one is whole.

        What is written is on the disk when this returns. If `chunks` raises, nothing is left.
        """
        *folders, name = files_of(key)
        part, size = part_of(name, secrets.token_hex(8)), 0
        with self._explained(key, "cannot be stored"):
            folder, file = self._create(folders, part)
        try:
            for chunk in paced(self.upload, chunks):
                with self._explained(key, "cannot be stored"):
                    size += _write(file, chunk)
            with self._explained(key, "cannot be stored"):
                os.fsync(file)
                # Some file systems report only here that a disk is full.
                closed, file = file, -1
                os.close(closed)
                os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(part, dir_fd=folder)
            raise
        finally:
            if file >= 0:
                os.close(file)
            os.close(folder)
        return size

    def _create(self, folders: Sequence[str], part: str) -> tuple[int, int]:
        """Return a folder, which is made, and a new file in it, both open."""
        for attempt in range(1, ATTEMPTS + 1):
            folder = -1
            try:
                folder = self._enter(folders, make=True)
                return folder, os.open(part, TO_WRITE, FILE_MODE, dir_fd=folder)
            except OSError as error:
                if folder >= 0:
                    os.close(folder)
                if not isinstance(error, FileNotFoundError) or attempt == ATTEMPTS:
                    raise
        raise AssertionError

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes; raises Unreadable when it does not exist or ends before `offset`."""
        *folders, name = files_of(key)
        with self._explained(key, "cannot be read", reads=True), self._folder(folders) as folder:
            file = os.open(name, TO_READ, dir_fd=folder)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise Unreadable(f"{self._place(key)}: is no file; remove it")
            if offset and offset >= found.st_size:
                raise Unreadable(f"{self._place(key)}: has {found.st_size} bytes, none at {offset}")
            end = offset + length if length else found.st_size
            while offset < end:
                with self._explained(key, "cannot be read"):
                    chunk = os.pread(file, min(CHUNK, end - offset), offset)
                if not chunk:
                    return
                offset += len(chunk)
                yield from paced(self.download, (chunk,))
        finally:
            os.close(file)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below `prefix`, sorted by key; symbolic links and files of others are none."""
        base = prefix[: prefix.rfind("/") + 1]
        with self._explained(prefix, "cannot be listed"):
            try:
                with self._folder(files_of(base)[:-1]) as folder:
                    yield from self._below(folder, base.encode(), prefix.encode())
            except FileNotFoundError:
                return

    def _below(self, folder: int, base: bytes, prefix: bytes) -> Iterator[StoredObject]:
        entries = sorted(_entries(folder, base, prefix), key=lambda entry: entry.key)
        below = (self._of(folder, entry, prefix) for entry in entries)
        if any(entry.folder and not entry.key.endswith(b"/") for entry in entries):
            # The keys of a continued name may lie between those of the folder whose name it begins with.
            yield from heapq.merge(*below, key=lambda found: found.key.encode())
            return
        for found in below:
            yield from found

    def _of(self, folder: int, entry: _Entry, prefix: bytes) -> Iterator[StoredObject]:
        if entry.folder:
            with suppress(FileNotFoundError), _opened(entry.name, folder) as inner:
                yield from self._below(inner, entry.key, prefix)
            return
        with suppress(UnicodeDecodeError):
            info = entry.info
            changed = datetime.fromtimestamp(info.st_mtime, UTC)
            etag = f"{info.st_mtime_ns:x}-{info.st_size:x}-{info.st_ino:x}"
            yield StoredObject(entry.key.decode(), info.st_size, changed, etag)

    def delete(self, key: str) -> None:
        """Delete one object, and the folders that are then empty."""
        *folders, name = files_of(key)
        with self._explained(key, "cannot be deleted"):
            with suppress(FileNotFoundError), self._folder(folders) as folder:
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
            for depth in range(len(folders) - 1, -1, -1):
                try:
                    with self._folder(folders[:depth]) as folder:
                        os.rmdir(folders[depth], dir_fd=folder)
                except FileNotFoundError:
                    continue
                except OSError:  # not empty
                    break

    def abandon(self, prefix: str) -> int:
        """Remove every part file below `prefix`, of uploads that are under way too; return how many there were."""
        return self.sweep(prefix, 0)

    def sweep(self, prefix: str, older_than: float) -> int:
        """Remove the part files below `prefix` that were last written that many seconds ago; return how many."""
        base = prefix[: prefix.rfind("/") + 1]
        with self._explained(prefix, "unfinished uploads cannot be removed"):
            try:
                with self._folder(files_of(base)[:-1]) as folder:
                    return _swept(folder, base.encode(), prefix.encode(), timedelta(seconds=older_than))
            except FileNotFoundError:
                return 0

    def _enter(self, folders: Sequence[str], *, make: bool = False) -> int:
        """Return the folder below the marked directory, open; `make`: it is made where it does not exist."""
        here = _marked(self.root)
        try:
            for name in folders:
                below = _open_folder(name, here, make=make)
                os.close(here)
                here = below
        except BaseException:
            os.close(here)
            raise
        return here

    @contextmanager
    def _folder(self, folders: Sequence[str]) -> Iterator[int]:
        folder = self._enter(folders)
        try:
            yield folder
        finally:
            os.close(folder)

    def _place(self, key: str) -> str:
        return f"store {self.root}, {key or 'all keys'}"

    @contextmanager
    def _explained(self, key: str, what: str, *, reads: bool = False) -> Iterator[None]:
        """Convert an OSError into one line with place, operation, reason and remedy."""
        try:
            yield
        except OSError as error:
            if reads and error.errno == errno.ENOENT:
                raise Unreadable(f"{self._place(key)}: does not exist") from None
            reason = WHY.get(error.errno or 0, error.strerror or str(error))
            # One object that cannot be read costs no other.
            kind = Unreadable if reads and error.errno in (errno.ELOOP, errno.ENOTDIR) else HarnessError
            raise kind(f"{self._place(key)}: {what}: {reason}") from None


def _marked(root: Path) -> int:
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


def _open_folder(name: str, parent: int, *, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, FOLDER_MODE, dir_fd=parent)
            os.fsync(parent)
    return os.open(name, TO_FOLDER, dir_fd=parent)


@contextmanager
def _opened(name: str, parent: int) -> Iterator[int]:
    folder = _open_folder(name, parent, make=False)
    try:
        yield folder
    finally:
        os.close(folder)


def _entries(folder: int, base: bytes, prefix: bytes) -> Iterator[_Entry]:
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
                    yield _Entry(whole, one.name, inside, one.stat(follow_symlinks=False))


def _swept(folder: int, base: bytes, prefix: bytes, age: timedelta) -> int:
    with os.scandir(folder) as found:
        parts = [one for one in found if is_part(one.name) and one.is_file(follow_symlinks=False)]
    count, now = 0, SYSTEM.wall()
    for one in parts:
        with suppress(FileNotFoundError):
            written = datetime.fromtimestamp(one.stat(follow_symlinks=False).st_mtime, UTC)
            if (base + (decoded(object_of(one.name)) or b"")).startswith(prefix) and (not age or now - written >= age):
                os.unlink(one.name, dir_fd=folder)
                count += 1
    for entry in list(_entries(folder, base, prefix)):
        if entry.folder:
            with suppress(FileNotFoundError), _opened(entry.name, folder) as inner:
                count += _swept(inner, entry.key, prefix, age)
    return count


def _write(file: int, chunk: bytes) -> int:
    left = memoryview(chunk)
    while left:
        left = left[os.write(file, left) :]
    return len(chunk)
