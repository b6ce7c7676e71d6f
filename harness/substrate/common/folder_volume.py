"""A volume that is a folder of this machine."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from harness.core.errors import UsageError
from harness.substrate.common.filesystem import parts_of

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class FolderVolume:
    """A volume below one folder. `note` is called with the path of a file before it is written.

    Every part of a path is opened relative to the one before and never through a symbolic link: no link that a program
    put into the volume leads out of it.
    """

    root: Path
    note: Callable[[Path], None] = lambda _path: None

    def open(self, path: str, mode: str) -> IO[bytes]:
        """Open for `rb`, `wb` or `ab`; parents are made with mode 0700, files with 0600. Raises OSError, UsageError."""
        if mode not in ("rb", "wb", "ab"):
            raise UsageError(f"volume {self.root.name}: mode {mode!r} is not rb, wb or ab")
        *above, name = parts_of(self.root.name, path)
        with self._refusing_links(path), self._folder(above, make=mode == "wb") as folder:
            if mode == "wb":
                self.note(self.root.joinpath(*above, name))

            def below(name: str, flags: int) -> int:
                return os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=folder)

            return cast("IO[bytes]", open(name, mode, opener=below))

    def walk(self) -> Iterator[str]:
        """Yield the relative path of every file in it, sorted; raises OSError for a folder that cannot be read."""
        yield from sorted(file.relative_to(self.root).as_posix() for file in self._files())

    def _files(self) -> Iterator[Path]:
        for folder, _, names in os.walk(self.root, onerror=_unless_gone):
            for name in names:
                file = Path(folder, name)
                if file.is_file() and not file.is_symlink():
                    yield file

    def remove(self, path: str) -> None:
        """Delete a file or a folder with all in it; a path that does not exist is no error."""
        *above, name = parts_of(self.root.name, path)
        with (
            contextlib.suppress(FileNotFoundError),
            self._refusing_links(path),
            self._folder(above, make=False) as folder,
        ):
            try:
                os.unlink(name, dir_fd=folder)
            except IsADirectoryError:
                shutil.rmtree(name, dir_fd=folder)

    @property
    def size(self) -> int:
        """Total size of its files in bytes."""
        total = 0
        for file in self._files():
            with contextlib.suppress(FileNotFoundError):  # a running program may remove its files meanwhile
                total += file.stat().st_size
        return total

    @contextlib.contextmanager
    def _folder(self, above: list[str], *, make: bool) -> Iterator[int]:
        descriptor = os.open(self.root, FOLDER)
        try:
            for name in above:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, 0o700, dir_fd=descriptor)
                below = os.open(name, FOLDER, dir_fd=descriptor)
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


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
