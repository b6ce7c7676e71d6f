"""Content-addressed cache of parts, shared by all checkouts of a user."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.clock import wait_until
from harness.patience import PATIENCE

_VERSION = ".version"
_DIGITS = 12


def cache_home() -> Path:
    """Return the folder of the cache: $BLACKSTART_CACHE, $XDG_CACHE_HOME/blackstart or ~/.cache/blackstart."""
    if own := os.environ.get("BLACKSTART_CACHE"):
        return Path(own).absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).absolute() / "blackstart"
    return Path.home() / ".cache" / "blackstart"


def folder_of(name: str, *ingredients: str) -> Path:
    """Return the folder of a part that is built from `ingredients` (lock, recipe, platform). It may not exist."""
    digest = hashlib.sha256("\0".join(ingredients).encode()).hexdigest()[:_DIGITS]
    return cache_home() / "parts" / f"{name}-{digest}"


def version_in(folder: Path) -> str:
    """Return the version that the build returned, "" if the part is not installed."""
    note = folder / _VERSION
    return note.read_text(encoding="utf-8").strip() if note.is_file() else ""


def obtain(folder: Path, build: Callable[[Path], str], *, patience: float = PATIENCE.cache_lock) -> bool:
    """Build `folder` unless it exists, and return whether it was built.

    `build` fills an empty folder and returns the version it found. The folder has a temporary name until it is
    complete, so that `folder` is complete or missing; a lock allows one build at a time, also across processes.
    What a killed build left is removed. Raises what `build` raises, and TookTooLong when another process holds the
    lock for more than `patience` seconds.
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
    """Hold an exclusive flock(2) on the file `lock`, across threads and processes. Raises TookTooLong."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        wait_until(
            lambda: fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB),
            patience=patience, on=BlockingIOError, every=0.1, what=f"{lock.name}: locked by another process",
        )  # fmt: skip
        yield
