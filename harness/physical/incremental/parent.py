"""Parent of an incremental backup: the newest one of the same server that can be restored, and its manifest."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.core.contents import Parent
from harness.core.errors import BackupFailed, Refused, Unreadable
from harness.core.wal import read_lsn
from harness.physical.source import PhysicalSource
from harness.postgres.replication.connection import Identity
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.format.commit import Commit
from harness.repository.lineage import lineage
from harness.repository.reader import read_own
from harness.signing import read_signing_key


@dataclass(frozen=True, slots=True)
class Held:
    """A backup whose manifest the repository holds for the writer. `manifest`: its backup_manifest."""

    named: Parent
    manifest: bytes = field(repr=False)


def parent_of(source: PhysicalSource, identity: Identity) -> Held:
    """Return the newest backup of the server and its timeline that an incremental one can build on.

    All that it builds on itself must be there with its size. Raises Refused that says why no backup serves,
    HarnessError of the store.
    """
    repository, reasons = source.repository, list[str]()
    key = read_signing_key(source.keys.signing_key)
    entries = repository.catalogue().entries
    for entry, commit in _physical(entries, identity.system):
        try:
            _require_before(commit, identity)
            for one in lineage(entry, entries):
                repository.require_stored(one)
            manifest = read_own(repository.store, repository.layout, commit, key)
        except Unreadable as error:
            reasons.append(f"{entry.backup_id}: {error}")
            continue
        return Held(Parent(commit.sequence, entry.backup_id, entry.digest), manifest)
    raise Refused(
        f"estate {repository.estate}: no backup that an incremental one can build on "
        f"({'; '.join(reasons) or 'no physical one of this server is committed'}); take a physical one: `blackstart "
        "backup --mode physical`"
    )


def _physical(entries: tuple[CommittedBackup, ...], system: str) -> Iterator[tuple[CommittedBackup, Commit]]:
    return ((one, one.commit) for one in entries if one.commit is not None and one.physical and one.system == system)


def _require_before(commit: Commit, identity: Identity) -> None:
    """Raise Unreadable unless a backup is of the server's timeline, and the server is not behind it."""
    if commit.base is None or commit.base.timeline != identity.timeline:
        at = commit.base.timeline if commit.base is not None else 0
        raise Unreadable(f"is of timeline {at}, the server is on {identity.timeline}")
    if commit.base.stop > read_lsn(identity.position):
        raise Unreadable("has later WAL than the server: the server was put back")


def require_parent(repository: Repository, parent: Parent) -> None:
    """Raise BackupFailed unless a parent is still there: retention may have removed it meanwhile."""
    there = {one.backup_id: one for one in repository.committed()}
    found = there.get(parent.backup_id)
    if found is None or found.digest != parent.digest:
        raise BackupFailed(f"backup {parent.backup_id}, which this one builds on, was removed meanwhile; take another")
