"""Preflight check of free disk space, computed from the size of the data."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import HarnessError

MB = 1_000_000  # bytes
SITE = 200  # MB of a site's volumes with an empty bulk database
REPORTS = 50  # MB of logs, record and report


def of_estate(bulk_mb: int) -> int:
    """Return the MB of one prepared estate in the cache, with its bulk database and WAL."""
    return SITE + 2 * bulk_mb


def of_drill(bulk_mb: int) -> int:
    """Return the MB of a run folder. Measured peak of the site loss with a bulk database of 200 MB: 781 MB."""
    return 2 * SITE + 3 * bulk_mb


def require_space(needed: Mapping[Path, int], remedy: str) -> None:
    """Raise HarnessError, ending with `remedy`, when a file system has too little space for its folders' MB."""
    totals: dict[int, tuple[Path, Path, int]] = {}
    for folder, size in needed.items():
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        device = there.stat().st_dev
        first, _, already = totals.get(device, (folder, there, 0))
        totals[device] = (first, there, already + size)
    for folder, there, size in totals.values():
        if (free := shutil.disk_usage(there).free // MB) < size:
            raise HarnessError(f"{folder}: {free} MB of disk space are free, {size} MB are needed; {remedy}")
