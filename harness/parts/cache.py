"""The folder where parts are kept: shared by all checkouts of one user, addressed by what each part is made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.clock import wait_until
from harness.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VERSION = ".version"
_DIGITS = 12


def cache_home() -> Path:
    """Return the cache's folder: $BLACKSTART_CACHE, else $XDG_CACHE_HOME/blackstart, else ~/.cache/blackstart."""
    if own := os.environ.get("BLACKSTART_CACHE"):
        return Path(own).absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).absolute() / "blackstart"
    return Path.home() / ".cache" / "blackstart"


def folder_of(name: str, *ingredients: str) -> Path:
    """Return where a part made from these ingredients (lock, recipe, platform) lies, be it there or not."""
    digest = hashlib.sha256("\0".join(ingredients).encode()).hexdigest()[:_DIGITS]
    return cache_home() / "parts" / f"{name}-{digest}"


def version_in(folder: Path) -> str:
    """Return the version that the builder found, or "" when the part is not there."""
    note = folder / _VERSION
    return note.read_text(encoding="utf-8").strip() if note.is_file() else ""


def obtain(folder: Path, build: Callable[[Path], str], *, patience: float = PATIENCE.cache_lock) -> bool:
    """Have `folder` in the cache, and return whether it was built now.

    `build` fills an empty folder and returns the version it found. It works in a temporary sibling that is renamed
    when complete, so that `folder` is whole or absent; a lock lets one builder in at a time, of any process. A
    sibling that a killed builder left is removed. Raises what `build` raises, and TookTooLong when another
    builder holds the lock for more than `patience` seconds.
    """
    if folder.is_dir():
        return False
    with alone(folder.with_name(f".{folder.name}.lock"), patience):
        if folder.is_dir():
            return False
        partial = folder.with_name(f".{folder.name}.partial")
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
        try:
            version = build(partial)
            (partial / _VERSION).write_text(f"{version}\n", encoding="utf-8")
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return True


@contextmanager
def alone(lock: Path, patience: float = PATIENCE.cache_lock) -> Iterator[None]:
    """Hold an exclusive lock on that file, made where it is not there. Raises TookTooLong after `patience` seconds.

    flock(2): of the open file, so it parts threads as well as processes, and ends with the process.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        wait_until(
            lambda: fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB),
            patience=patience, on=BlockingIOError, every=0.1, what=f"{lock.name}: held by another set-up",
        )  # fmt: skip
        yield
