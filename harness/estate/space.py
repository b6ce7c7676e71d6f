"""Preflight checks of folders: that they can be written, and free disk space, computed from the size of the data."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import HarnessError, UsageError

MB = 1_000_000  # bytes
SITE = 200  # MB of a site's volumes with an empty bulk database
REPORTS = 50  # MB of logs, record and report


def of_estate(bulk_mb: int) -> int:
    """Return the MB of one prepared estate in the cache, with its bulk database and WAL."""
    return SITE + 2 * bulk_mb


def of_drill(bulk_mb: int) -> int:
    """Return the MB of a run folder. Measured peak of the site loss with a bulk database of 200 MB: 781 MB."""
    return 2 * SITE + 3 * bulk_mb


def require_writable(folders: Mapping[Path, str]) -> None:
    """Raise UsageError for the first folder in which no file can be made. `folders`: folder -> what to do about it."""
    for folder, remedy in folders.items():
        try:
            with tempfile.TemporaryFile(dir=_existing(folder)):
                pass  # a file without a name, of which nothing is left
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written ({error.strerror}); {remedy}") from None


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def require_space(needed: Mapping[Path, int], remedy: str) -> None:
    """Raise HarnessError, ending with `remedy`, when a file system has too little space for its folders' MB."""
    totals: dict[int, tuple[Path, Path, int]] = {}
    for folder, size in needed.items():
        there = _existing(folder)
        device = there.stat().st_dev
        first, _, already = totals.get(device, (folder, there, 0))
        totals[device] = (first, there, already + size)
    for folder, there, size in totals.values():
        if (free := shutil.disk_usage(there).free // MB) < size:
            raise HarnessError(f"{folder}: {free} MB of disk space are free, {size} MB are needed; {remedy}")
