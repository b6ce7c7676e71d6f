"""Exposure: the longest time without a new valid backup."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from harness.core.judge import exposure
from harness.repository.catalogue import Repository

WINDOW = timedelta(days=1)


def measure_exposure(repository: Repository, passed_over: Sequence[tuple[str, str]], until: datetime) -> float | None:
    """Return the largest gap of the last day between snapshots of valid backups, None without. Raises HarnessError."""
    bad = {backup_id for backup_id, _ in passed_over}
    taken = [
        backup.manifest.contents.snapshot_at
        for backup in repository.committed()
        if backup.damaged is None and backup.backup_id not in bad
    ]
    return exposure(taken, until, WINDOW)
