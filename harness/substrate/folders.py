"""Folders that nobody else may look into, and their removal to the last file."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from harness.core.errors import HarnessError

Raised = tuple[type[BaseException], BaseException, TracebackType]


def make_folder(folder: Path) -> Path:
    """Make a folder and all above it that are not there, each 0700; return it. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, write-protected or not; one that is not there is left alone.

    Raises HarnessError that names what could not be removed.
    """

    def open_and_retry(_remove: Callable[..., object], name: str, error: Raised) -> None:
        if isinstance(error[1], FileNotFoundError):
            return
        path = Path(name)
        try:
            if path != folder:  # what holds the folder itself is not ours
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
