"""Base backups of a schedule: a full one every so many days, and incremental ones between."""

from collections.abc import Callable
from datetime import timedelta

from harness.core.errors import Refused
from harness.core.journal import Journal
from harness.physical.backup import take_physical
from harness.physical.source import PhysicalSource
from harness.postgres.identity import system_facts
from harness.repository.catalogue import Receipt


def take_due(source: PhysicalSource, journal: Journal, lost: Callable[[str], None], full_days: int) -> Receipt:
    """Take the base backup that is due and return its receipt.

    An incremental one while the newest full one of the server is younger than `full_days` days, 0: never. Where none
    can be taken a full one is, and the journal has the reason. `lost`, and what is raised: as of `take_physical`.
    """
    if not full_days:
        return take_physical(source, journal, lost)
    why = _why_full(source, full_days)
    if not why:
        try:
            return take_physical(source, journal, lost, incremental=True)
        except Refused as error:
            why = str(error)
    journal.mark("log", "full base backup", reason=why)
    return take_physical(source, journal, lost)


def _why_full(source: PhysicalSource, full_days: int) -> str:
    """Return why a full backup is due, "" where none is."""
    system = system_facts(source.sql).identifier
    now = source.repository.clock.wall()
    taken = [
        entry.commit.finished
        for entry in source.repository.committed()
        if entry.commit is not None and entry.physical and entry.parent is None and entry.system == system
    ]
    if not taken:
        return "there is none of this server"
    if timedelta() <= now - max(taken) < timedelta(days=full_days):
        return ""
    return f"the newest is of {max(taken):%Y-%m-%d %H:%M} UTC; full_days is {full_days}"
