"""Exposure: the longest time without a new valid backup."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from harness.core.judge import exposure
from harness.repository.catalogue import Repository

WINDOW = timedelta(days=1)


def measure_exposure(repository: Repository, passed_over: Sequence[tuple[str, str]], until: datetime) -> float | None:
    """Return the largest gap in seconds between snapshots of valid backups in the day before `until`.

    None without any backup. Raises HarnessError. `passed_over`: backups that selection found invalid.
    """
    bad = {backup_id for backup_id, _ in passed_over}
    taken = [
        backup.manifest.contents.snapshot_at
        for backup in repository.committed()
        if backup.damaged is None and backup.backup_id not in bad
    ]
    return exposure(taken, until, WINDOW)
