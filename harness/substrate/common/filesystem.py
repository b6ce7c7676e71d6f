"""Folders that nobody else may look into, and their removal to the last file."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Mapping
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


def write_for(home: Path, contents: Mapping[str, str], uid: int, gid: int) -> Path:
    """Write files, by name, into a folder that is made; only that user may read them. Return it. Raises OSError."""
    make_folder(home)
    for name, text in contents.items():
        path = home / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    if os.getuid() == 0:
        for path in (*(home / name for name in contents), home):
            os.chown(path, uid, gid)
    return home


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


def drop_if_empty(file: Path) -> None:
    """Remove a file with nothing in it; one that is not there, or that somebody else removes just now, is no matter."""
    with contextlib.suppress(FileNotFoundError):
        if not file.stat().st_size:
            file.unlink()
