"""Verification by restore: each backup is restored into a scratch server, each once in a period."""

from collections.abc import Iterator

from harness.backup.verify import INVALID, Verified, verify_chain, verify_wal
from harness.core.errors import Unreadable, UsageError
from harness.repository.catalogue import Catalogue, CommittedBackup, within_period
from harness.repository.upkeep.restored import last_restored, note_restored
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import wal_findings
from harness.restore_test.scratch.logical import check_logical
from harness.restore_test.scratch.outcome import Scratch
from harness.restore_test.scratch.physical import check_physical

UNCHECKED = "NOT CHECKED: "


def verify_restored(scratch: Scratch, *, every: bool, only: str = "") -> Iterator[Verified]:
    """Restore every backup that was not restored within the period, or all; yield lines for each.

    `only`: the name of one, which is restored in any case. Raises UsageError for one that is not there, HarnessError.
    """
    repository = scratch.repository
    catalogue = repository.catalogue()
    entries = [one for one in catalogue.entries if only in ("", one.backup_id)]
    if only and not entries:
        raise UsageError(f"--backup {only}: there is no such backup; `blackstart backups` lists them")
    known, now = last_restored(repository), repository.clock.wall()
    for entry in entries:
        last = known.get(entry.digest) if entry.damaged is None else None
        if last is None or not within_period(last, now) or every or only:
            yield from _restored(scratch, catalogue, entry)
            continue
        try:
            repository.require_stored(entry)
        except Unreadable as error:
            yield Verified(entry.backup_id, f"{INVALID}{error}", wrong=True)
        else:
            yield Verified(entry.backup_id, f"restored {last:%Y-%m-%d %H:%M} UTC; its objects are there")
    yield from verify_chain(catalogue)
    yield from verify_wal(repository, catalogue.entries, None)
    if catalogue.head is not None:
        repository.remember(catalogue.head)


def _restored(scratch: Scratch, catalogue: Catalogue, entry: CommittedBackup) -> Iterator[Verified]:
    if entry.damaged is not None:
        yield Verified(entry.backup_id, f"{INVALID}{entry.damaged}", wrong=True)
        return
    alike = (one.backup_id for one in catalogue.entries if one.damaged is None and one.physical == entry.physical)
    newest = next(alike) == entry.backup_id
    if entry.physical:
        wal = read_wal(scratch.repository, entry.system)
        known = (*catalogue.findings, *wal_findings(scratch.repository, wal))  # told once, with the chain
        found = check_physical(scratch, entry, newest=newest, known=known)
    else:
        found = check_logical(scratch, entry, newest=newest)
    yield from (Verified(entry.backup_id, f"{INVALID}{line}", wrong=True) for line in found.findings)
    yield from (Verified(entry.backup_id, f"{UNCHECKED}{line}", wrong=True) for line in found.unchecked)
    yield from (Verified(entry.backup_id, f"NOTE: {line}") for line in found.notes)
    if found.passed:
        note_restored(scratch.repository, entry)
        yield Verified(entry.backup_id, found.said)
