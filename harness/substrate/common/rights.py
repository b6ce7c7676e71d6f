"""Folders in which their owner may not write, list or search: a backup restores such modes, and what is in them stays.

Nothing is opened through a symbolic link. A folder of another user stays as it is.
"""

import contextlib
import os
import shutil
import stat
from pathlib import Path

LOOK = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


def unlock(name: str, above: int) -> bool:
    """Give the owner of a folder all rights in it; return whether it had not all of them. Raises OSError.

    `above`: a descriptor of the folder that `name` is in.
    """
    descriptor = os.open(name, LOOK, dir_fd=above)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & stat.S_IRWXU == stat.S_IRWXU:
            return False
        # Its mode may not let even its owner open it for fchmod.
        Path(f"/proc/self/fd/{descriptor}").chmod(mode | stat.S_IRWXU)
        return True
    finally:
        os.close(descriptor)


def make_below(name: str, above: int) -> None:
    """Make a folder of mode 0700, unless something of that name is there. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        try:
            os.mkdir(name, 0o700, dir_fd=above)
        except PermissionError:
            if not unlock(".", above):
                raise
            os.mkdir(name, 0o700, dir_fd=above)


def discard(name: str, above: int) -> None:
    """Delete a file, or a folder with all in it, write-protected or not. Raises OSError."""
    try:
        _discard(name, above)
    except PermissionError:
        unlock(".", above)
        with contextlib.suppress(NotADirectoryError):
            unlock(name, above)
            for _, folders, _, descriptor in os.fwalk(name, dir_fd=above):
                for folder in folders:
                    with contextlib.suppress(NotADirectoryError):  # a link to one
                        unlock(folder, descriptor)
        _discard(name, above)


def _discard(name: str, above: int) -> None:
    try:
        os.unlink(name, dir_fd=above)
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=above)
