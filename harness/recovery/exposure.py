"""Exposure: the longest time without a new backup that was shown to open."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from harness.core.errors import Unreadable, UsageError
from harness.core.judge import exposure
from harness.estate.connections import Connections
from harness.estate.secrets import PRIVATE_KEY
from harness.repository.catalogue import Repository
from harness.vault import read_secret

WINDOW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Exposed:
    """The largest gap in seconds between snapshots of valid backups, None without any.

    `opened`: one line for each backup that counts, with the time when all of it was last opened; `unopened`: one for
    each committed backup that does not count, with the reason.
    """

    seconds: float | None = None
    opened: tuple[str, ...] = ()
    unopened: tuple[str, ...] = ()

    @property
    def note(self) -> Mapping[str, str]:
        """What a record says of the backups, under its title."""
        lines = {
            "backups that count for the exposure, and when they were last opened": self.opened,
            "backups that do not count for the exposure": self.unopened,
        }
        return {title: "; ".join(found) for title, found in lines.items() if found}


def exposed_at(connections: Connections, until: datetime) -> Exposed:
    """Return the exposure of an estate, with the key of its DR site. Raises HarnessError, UsageError without a key."""
    dr = connections.recovered
    if PRIVATE_KEY not in dr.secrets:
        raise UsageError(f"site {dr.site.name}: no secret {PRIVATE_KEY}; add it; it opens the backups")
    return measure_exposure(connections.repository, read_secret(dr.secrets[PRIVATE_KEY]), until)


def measure_exposure(repository: Repository, private_pem: str | bytes, until: datetime) -> Exposed:
    """Return the exposure of the last day before `until`; only backups count that were opened. Raises HarnessError.

    A backup that was opened completely within seven days is not opened again: its objects are compared with COMMIT by
    number and size. The repository's witness knows when.
    """
    taken, counted, unopened = [], [], []
    for entry in repository.logical():
        snapshot = entry.snapshot_at
        if snapshot is None:
            unopened.append(f"{entry.backup_id}: {entry.damaged}")
            continue
        if snapshot > until:
            continue
        try:
            at = repository.shown(entry, private_pem) or repository.clock.wall()
        except Unreadable as error:
            unopened.append(f"{entry.backup_id}: {error}")
            continue
        taken.append(snapshot)
        counted.append(f"{entry.backup_id}: {at.isoformat(timespec='seconds')}")
        if snapshot < until - WINDOW:
            break
    return Exposed(exposure(taken, until, WINDOW), tuple(counted), tuple(unopened))
