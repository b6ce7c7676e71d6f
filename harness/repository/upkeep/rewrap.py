"""Change of recipients: the data key of a backup is wrapped to another key, its data are not touched."""

from dataclasses import dataclass

from harness.core.errors import Unreadable, UsageError
from harness.pem import fingerprint
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.format.layout import key_binding
from harness.repository.format.recipients import FEWEST, read_public, wrap
from harness.repository.format.wal import WalList
from harness.repository.reader import data_key
from harness.repository.wal.reader import wal_key


@dataclass(frozen=True, slots=True)
class Rewrap:
    """What is to be changed. `add`: public keys in PEM; `remove`: fingerprints of recipients."""

    add: tuple[bytes, ...] = ()
    remove: tuple[str, ...] = ()


def recipients_of(repository: Repository, backup_id: str) -> frozenset[str]:
    """Return the fingerprints of the keys that open a backup by now. Raises HarnessError."""
    return _below(repository, repository.layout.keys(backup_id))


def recipients_after(repository: Repository, entry: CommittedBackup, change: Rewrap) -> frozenset[str]:
    """Return the recipients that a backup will have. Raises UsageError for fewer than two or no key, HarnessError."""
    return _after(f"backup {entry.backup_id}", recipients_of(repository, entry.backup_id), change)


def rewrap(repository: Repository, entry: CommittedBackup, private_pem: bytes, change: Rewrap) -> frozenset[str]:
    """Change the recipients of one backup and return those it has then, by fingerprint.

    New ones are added before others are removed. Raises Unreadable (it is not trusted, or the key does not open it),
    UsageError before anything is changed (fewer than two would be left), HarnessError of the store.
    """
    commit = entry.commit
    if commit is None:
        raise Unreadable(f"backup {entry.backup_id}: {entry.damaged or 'not signed'}; its recipients cannot be changed")
    dek = data_key(repository.store, repository.layout, commit, private_pem)
    bound = key_binding(commit.cluster, commit.backup_id)
    left = recipients_after(repository, entry, change)
    _change(repository, repository.layout.keys(entry.backup_id), dek, bound, change, left)
    return left


def rewrap_wal(repository: Repository, listed: WalList, private_pem: bytes, change: Rewrap) -> frozenset[str]:
    """Change the recipients of a run of shipped WAL, as `rewrap` does, and return those it has then."""
    dek, prefix = wal_key(repository, listed, private_pem), repository.layout.wal_keys(listed.run)
    left = _after(f"WAL of run {listed.run}", _below(repository, prefix), change)
    _change(repository, prefix, dek, key_binding(listed.cluster, listed.run), change, left)
    return left


def _change(
    repository: Repository, prefix: str, dek: bytes, bound: bytes, change: Rewrap, left: frozenset[str]
) -> None:
    there = _below(repository, prefix)
    added = {fingerprint(key): wrap(dek, key, bound) for key in map(read_public, change.add)}
    for name, wrapped in added.items():
        if name in left - there:
            repository.store.put(f"{prefix}{name}", (wrapped,))
    for name in there - left:
        repository.store.delete(f"{prefix}{name}")


def _below(repository: Repository, prefix: str) -> frozenset[str]:
    return frozenset(entry.key.removeprefix(prefix) for entry in repository.store.list(prefix))


def _after(what: str, there: frozenset[str], change: Rewrap) -> frozenset[str]:
    """Return the recipients that there will be; raises UsageError for fewer than two."""
    left = (there | {fingerprint(key) for key in map(read_public, change.add)}) - set(change.remove)
    if len(left) < FEWEST:
        raise UsageError(f"{what}: would be left with {len(left)} recipient, at least {FEWEST} are required")
    return left
