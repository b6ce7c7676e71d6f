"""Preflight of disk space: what a drill needs is known from the size of its data."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import HarnessError

MB = 1_000_000  # bytes
SITE = 200  # MB of a site's volumes, where the bulk database is empty
REPORTS = 50  # MB of logs, record and report


def of_estate(bulk_mb: int) -> int:
    """Return the MB that one prepared estate takes in the cache: the bulk database and its WAL besides the rest."""
    return SITE + 2 * bulk_mb


def of_drill(bulk_mb: int) -> int:
    """Return the MB that a run folder takes: the site loss with a bulk database of 200 MB had 781 MB at its peak."""
    return 2 * SITE + 3 * bulk_mb


def require_space(needed: Mapping[Path, int], remedy: str) -> None:
    """Raise HarnessError when a file system has not the MB free that all folders on it need together.

    `needed`: folder, which may not exist yet, -> MB; `remedy`: what to do where there is too little.
    """
    totals: dict[int, tuple[Path, Path, int]] = {}
    for folder, size in needed.items():
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        device = there.stat().st_dev
        first, _, already = totals.get(device, (folder, there, 0))
        totals[device] = (first, there, already + size)
    for folder, there, size in totals.values():
        if (free := shutil.disk_usage(there).free // MB) < size:
            raise HarnessError(f"{folder}: {free} MB of disk are free, {size} MB are needed; {remedy}")
