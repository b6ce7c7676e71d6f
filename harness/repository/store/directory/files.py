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

from harness.core.errors import Denied, HarnessError, Lost, Unreadable
from harness.repository.store.directory.folders import (
    DAMAGED,
    FILE_MODE,
    ITS_OWN,
    WHY,
    Entry,
    closed,
    entered,
    entries_of,
    marked,
    open_folder,
    swept,
    write_all,
)
from harness.repository.store.directory.names import DEEPEST, files_of, part_of
from harness.repository.store.pace import Pace, paced
from harness.repository.store.port import StoredObject

CHUNK = 1 << 20
ATTEMPTS = 8  # of opening a folder that another thread removes because it is empty
TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
TO_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


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
        if len(folders) > DEEPEST:
            raise HarnessError(f"{self._place(key)}: cannot be stored: more than {DEEPEST} folders in each other")
        part, size = part_of(name, secrets.token_hex(8)), 0
        with self._explained(key, "cannot be stored"):
            folder, file = self._create(folders, part)
        try:
            for chunk in paced(self.upload, chunks):
                with self._explained(key, "cannot be stored"):
                    size += write_all(file, chunk)
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
                with self._explained(key, "cannot be read", reads=True):
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
                    yield from self._below(folder, base.encode(), prefix.encode(), base.count("/"))
            except FileNotFoundError:
                return

    def require_open(self, prefix: str) -> None:
        """Raise HarnessError for a folder below `prefix` that may not be read: what is in it would stay."""
        base = prefix[: prefix.rfind("/") + 1]
        with self._explained(prefix, "cannot be listed"):
            try:
                with self._folder(files_of(base)[:-1]) as folder:
                    found = next(closed(folder, base.encode(), prefix.encode(), base.count("/")), None)
            except FileNotFoundError:
                return
        if found is not None:
            raise HarnessError(f"{self._place(found.decode(errors='replace'))}: cannot be listed: {WHY[errno.EACCES]}")

    def _below(self, folder: int, base: bytes, prefix: bytes, depth: int) -> Iterator[StoredObject]:
        entries = sorted(entries_of(folder, base, prefix), key=lambda entry: entry.key)
        below = (self._of(folder, entry, prefix, depth) for entry in entries)
        if any(entry.folder and not entry.key.endswith(b"/") for entry in entries):
            # The keys of a continued name may lie between those of the folder whose name it begins with.
            yield from heapq.merge(*below, key=lambda found: found.key.encode())
            return
        for found in below:
            yield from found

    def _of(self, folder: int, entry: Entry, prefix: bytes, depth: int) -> Iterator[StoredObject]:
        if entry.folder:
            with entered(entry, folder, depth) as found:
                for inner in found:
                    yield from self._below(inner, entry.key, prefix, depth + 1)
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
                    return swept(folder, base.encode(), prefix.encode(), timedelta(seconds=older_than), base.count("/"))
            except FileNotFoundError:
                return 0

    def abilities(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield whether it is a mount point's disk of its own, and the room that is left."""
        with self._explained(prefix, "cannot be asked"):
            room = os.statvfs(self.root)
            own = self.root.stat().st_dev != Path("/").stat().st_dev
        yield "versions", "no"
        yield "disk of its own", "yes" if own else "no: that of this machine's system"
        yield "room", f"{room.f_bavail * room.f_frsize} bytes"

    def _enter(self, folders: Sequence[str], *, make: bool = False) -> int:
        """Return the folder below the marked directory, open; `make`: it is made where it does not exist."""
        here = marked(self.root)
        try:
            for name in folders:
                below = open_folder(name, here, make=make)
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
            kind: type[HarnessError] = HarnessError
            if reads and error.errno in (*ITS_OWN, *DAMAGED):
                kind = Lost if error.errno in DAMAGED else Denied
            raise kind(f"{self._place(key)}: {what}: {reason}") from None
