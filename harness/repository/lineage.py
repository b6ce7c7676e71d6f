"""Parents of incremental backups: a backup is valid only with every one that it builds on, as its COMMIT names them."""

from collections.abc import Iterable, Mapping

from harness.core.errors import Unreadable
from harness.repository.committed import CommittedBackup


def lineage(entry: CommittedBackup, entries: Iterable[CommittedBackup]) -> tuple[CommittedBackup, ...]:
    """Return the backups that a restore of `entry` needs: the full one first, itself last.

    `entries`: all that are committed. Raises Unreadable that names the one that is missing, damaged or replaced.
    """
    there = {one.backup_id: one for one in entries}
    found = [entry]
    while (parent := found[0].parent) is not None:
        what = f"backup {parent.backup_id}, which {found[0].backup_id} builds on,"
        one = there.get(parent.backup_id)
        if one is None:
            raise Unreadable(f"{what} is not in the repository: it expired or was deleted; take a physical one")
        if one.damaged is not None:
            raise Unreadable(f"{what} is not trusted: {one.damaged}")
        if one.digest != parent.digest:
            raise Unreadable(f"{what} was replaced: its COMMIT has another digest")
        if one.system != entry.system or not one.physical:
            raise Unreadable(f"{what} is {one.mode}, of database system {one.system}, not of {entry.system}")
        found.insert(0, one)
    return tuple(found)


def broken_chains(entries: Iterable[CommittedBackup]) -> Mapping[str, str]:
    """Return why incremental backups cannot be restored: name -> reason, of those that lack a parent."""
    every, broken = tuple(entries), {}
    for entry in every:
        try:
            lineage(entry, every)
        except Unreadable as error:
            broken[entry.backup_id] = str(error)
    return broken
