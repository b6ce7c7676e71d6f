"""A volume that is a folder of this machine."""

import contextlib
import errno
import os
import posixpath
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

from harness.core.errors import HarnessError, UsageError
from harness.core.node import FILE, FOLDER, MODE, Entry, Skips
from harness.substrate.common.filesystem import parts_of
from harness.substrate.common.rights import discard, make_below, unlock

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
WITHIN = "within its volume"  # of a link, whose target is backed up as what it is
NO_ACCESS = "cannot be read"  # begin of the kind of a folder that is not listed
KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: "is a symbolic link",
    stat.S_IFIFO: "is a FIFO",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFBLK: "is a device",
    stat.S_IFCHR: "is a device",
}


@dataclass(frozen=True, slots=True)
class FolderVolume:
    """A volume below one folder. `note` is called with a file's path before it is written, `gone` once it is removed.

    Every part of a path is opened relative to the one before and never through a symbolic link: no link that a program
    put into the volume leads out of it.
    """

    root: Path
    note: Callable[[Path], None] = lambda _path: None
    gone: Callable[[Path], None] = lambda _path: None

    def open(self, path: str, mode: str) -> IO[bytes]:
        """Open for `rb`, `wb` or `ab`; parents are made with mode 0700, files with 0600. Raises OSError, UsageError.

        A parent in which its owner may not write gets that right for `wb`.
        """
        if mode not in ("rb", "wb", "ab"):
            raise UsageError(f"volume {self.root.name}: mode {mode!r} is not rb, wb or ab")
        *above, name = parts_of(self.root.name, path)
        with self._refusing_links(path), self._folder(above, make=mode == "wb") as folder:
            if mode == "wb":
                self.note(self.root.joinpath(*above, name))

            def below(name: str, flags: int) -> int:
                # Without O_NONBLOCK the open of a FIFO would wait for its other end.
                more = os.O_NOFOLLOW | os.O_NONBLOCK
                try:
                    return os.open(name, flags | more, 0o600, dir_fd=folder)
                except PermissionError:
                    if mode != "wb" or not unlock(".", folder):
                        raise
                    return os.open(name, flags | more, 0o600, dir_fd=folder)

            return cast("IO[bytes]", open(name, mode, opener=below))

    def scan(self, folder: str, skips: Skips | None = None) -> Iterator[Entry]:
        """Yield everything below `folder` that `skips` does not pass over, sorted, a folder after all that is in it.

        A folder that cannot be listed is named by its kind. Raises OSError for `folder` itself, UsageError.
        """
        top = "/".join(parts_of(self.root.name, folder)) if folder else ""
        pending, listed = self._inside(top, skips), [""]  # the folders whose contents are pending, the innermost last
        while pending:
            entry = pending.pop()
            if done := entry.path == listed[-1]:
                listed.pop()
            if done or entry.kind != FOLDER:
                yield entry
                continue
            try:
                inside = self._inside(entry.path, skips)
            except FileNotFoundError:  # a running program may remove its folders meanwhile
                continue
            except (OSError, UsageError) as error:
                if entry.path != "lost+found":  # of the file system, for root alone
                    why = error.strerror if isinstance(error, OSError) else str(error)
                    yield Entry(entry.path, f"{NO_ACCESS}: {why}")
                continue
            listed.append(entry.path)
            pending += [entry, *inside]

    def _inside(self, folder: str, skips: Skips | None) -> list[Entry]:
        """Return what a folder contains, in the reverse order of the paths below it."""
        found = []
        with (
            self._refusing_links(folder),
            self._folder(folder.split("/") if folder else [], make=False) as descriptor,
            os.scandir(descriptor) as listed,
        ):
            for item in listed:
                path = f"{folder}/{item.name}" if folder else item.name
                if skips is not None and skips(path):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    entry = _entry(path, item.stat(follow_symlinks=False))
                    inner = item.is_symlink() and _stays(folder, os.readlink(item.name, dir_fd=descriptor))
                    found.append(replace(entry, kind=f"{entry.kind} {WITHIN}") if inner else entry)
        return sorted(found, key=_order, reverse=True)

    def inspect(self, path: str) -> Entry:
        """Return what is at a path; raises OSError, UsageError."""
        *above, name = parts_of(self.root.name, path)
        with self._refusing_links(path), self._folder(above, make=False) as folder:
            return _entry(path, os.stat(name, dir_fd=folder, follow_symlinks=False))

    def changed_at(self, path: str) -> float:
        """Return when a file was written here or last changed, mode and name included: its ctime, which nobody sets.

        In seconds since 1970. Raises OSError, UsageError.
        """
        *above, name = parts_of(self.root.name, path)
        with self._refusing_links(path), self._folder(above, make=False) as folder:
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_ctime

    def adjust(self, entry: Entry) -> Entry:
        """Give a file or a folder, which is created, mode and mtime of `entry`; return what it has then. OSError."""
        *above, name = parts_of(self.root.name, entry.path)
        with self._refusing_links(entry.path), self._folder(above, make=entry.kind == FOLDER) as folder:
            if entry.kind == FOLDER:
                make_below(name, folder)
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            try:
                os.fchmod(descriptor, entry.mode & MODE.get(entry.kind, 0))
                os.utime(descriptor, (entry.mtime, entry.mtime))
                return _entry(entry.path, os.fstat(descriptor))
            finally:
                os.close(descriptor)

    def walk(self) -> Iterator[str]:
        """Yield the relative path of every file in it, sorted; raises OSError for a folder that cannot be read."""
        for entry in self.scan(""):
            if entry.kind == FILE:
                yield entry.path
            elif entry.kind.startswith(NO_ACCESS):
                raise PermissionError(errno.EACCES, entry.kind, str(self.root / entry.path))

    def remove(self, path: str) -> None:
        """Delete a file or a folder with all in it, write-protected or not; one that does not exist is no error."""
        *above, name = parts_of(self.root.name, path)
        with (
            contextlib.suppress(FileNotFoundError),
            self._refusing_links(path),
            self._folder(above, make=False, owned=True) as folder,
        ):
            discard(name, folder)
        self.gone(self.root.joinpath(*above, name))

    def unpack(self, source: Path) -> None:
        """Copy what is in a folder of this machine into it, links and modes too. Raises HarnessError."""
        cp = shutil.which("cp") or "cp"
        done = subprocess.run(
            [cp, "-a", "--reflink=auto", f"{source}/.", str(self.root)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"cp ended with code {done.returncode}"]
            raise HarnessError(f"volume {self.root.name}: {source} cannot be copied: {said[-1]}")

    def adopt(self, source: Path) -> None:
        """Move what is in a folder of this machine into it, copy it from another filesystem. Raises HarnessError."""
        try:
            for one in sorted(source.iterdir()):
                one.rename(self.root / one.name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise HarnessError(f"volume {self.root.name}: {source} cannot be moved: {error}") from None
            self.unpack(source)

    @property
    def size(self) -> int:
        """Total size of its files in bytes."""
        return sum(entry.size for entry in self.scan("") if entry.kind == FILE)

    @contextlib.contextmanager
    def _folder(self, above: list[str], *, make: bool, owned: bool = False) -> Iterator[int]:
        """Yield a descriptor. `make`: what is missing is made; both: what its owner may not open is unlocked."""
        descriptor = os.open(self.root, OPEN_FOLDER)
        try:
            for name in above:
                if make:
                    make_below(name, descriptor)
                try:
                    below = os.open(name, OPEN_FOLDER, dir_fd=descriptor)
                except PermissionError:
                    if not (make or owned) or not unlock(name, descriptor):
                        raise
                    below = os.open(name, OPEN_FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _refusing_links(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # A link in the middle of a path is "not a directory", and so is a file there.
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise UsageError(f"volume {self.root.name}: {path!r} leads through a link or a file") from None
            raise


def _stays(folder: str, target: str) -> bool:
    """Return whether the target of a link in a folder is in the volume."""
    return not target.startswith("/") and not f"{posixpath.normpath(posixpath.join(folder, target))}/".startswith("../")


def _entry(path: str, status: os.stat_result) -> Entry:
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "is no file")
    size = status.st_size if kind == FILE else 0
    return Entry(path, kind, size, status.st_mode & MODE.get(kind, 0), status.st_mtime)


def _order(entry: Entry) -> bytes:
    """Return the bytes by which paths are sorted: those below a folder have a slash after its name."""
    return os.fsencode(entry.path + ("/" if entry.kind == FOLDER else ""))
