"""Change of recipients: the data key of a backup is wrapped to another key, its data are not touched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from harness.core.errors import Unreadable, UsageError
from harness.pem import fingerprint
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.format.layout import key_binding
from harness.repository.format.recipients import FEWEST, read_public, wrap
from harness.repository.format.wal import WalList
from harness.repository.reader import data_key
from harness.repository.store.expunge import discard
from harness.repository.wal.catalogue import read_systems
from harness.repository.wal.reader import wal_key


@dataclass(frozen=True, slots=True)
class Rewrap:
    """What is to be changed. `add`: public keys in PEM; `remove`: fingerprints of recipients."""

    add: tuple[bytes, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What was changed in one backup, or in one run of WAL. `left`: its recipients then, by fingerprint.

    `staying`: keys of wrapped data keys that were deleted, of which the bucket may keep older versions: with these the
    removed recipients still open it.
    """

    left: frozenset[str]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    staying: tuple[str, ...] = ()


def recipients_ever(repository: Repository, entry: CommittedBackup | WalList) -> frozenset[str]:
    """Return the fingerprints of the keys that open a backup or a run of WAL, now or when it was written.

    Those that were removed since then are no mistake: a change that was interrupted is repeated. Raises HarnessError.
    """
    return _below(repository, _place(repository, entry)[1]) | frozenset(entry.recipients)


def require_recipients(repository: Repository, entry: CommittedBackup | WalList, change: Rewrap) -> frozenset[str]:
    """Return the recipients that a backup or a run of WAL will have.

    Raises UsageError for fewer than two and for what is no key, HarnessError of the store.
    """
    what, prefix = _place(repository, entry)
    added = {fingerprint(key) for key in map(read_public, change.add)}
    left = (_below(repository, prefix) | added) - set(change.remove)
    if len(left) < FEWEST:
        raise UsageError(f"{what}: would be left with {len(left)} recipient, at least {FEWEST} are required")
    return left


def rewrap(repository: Repository, entry: CommittedBackup, private_pem: bytes, change: Rewrap) -> Rewrapped:
    """Change the recipients of one backup and return what was changed.

    New ones are added before others are removed. Raises Unreadable (it is not trusted, or the key does not open it),
    UsageError before anything is changed (fewer than two would be left), HarnessError of the store.
    """
    commit = entry.commit
    if commit is None:
        raise Unreadable(f"backup {entry.backup_id}: {entry.damaged or 'not signed'}; its recipients cannot be changed")
    dek = data_key(repository.store, repository.layout, commit, private_pem)
    bound = key_binding(commit.cluster, commit.backup_id)
    left = require_recipients(repository, entry, change)
    return _change(repository, repository.layout.keys(entry.backup_id), dek, bound, change, left)


def rewrap_wal(repository: Repository, listed: WalList, private_pem: bytes, change: Rewrap) -> Rewrapped:
    """Change the recipients of a run of shipped WAL, as `rewrap` does, and return what was changed."""
    dek, prefix = wal_key(repository, listed, private_pem), repository.layout.wal_keys(listed.run)
    left = require_recipients(repository, listed, change)
    return _change(repository, prefix, dek, key_binding(listed.cluster, listed.run), change, left)


def out_of_reach(repository: Repository, entries: Sequence[CommittedBackup]) -> tuple[tuple[str, str], ...]:
    """Return the hidden backups that are not among `entries`, by name, and why their recipients cannot be changed.

    Raises HarnessError of the store.
    """
    listed = {entry.backup_id for entry in entries}
    hidden = repository.hidden().without([one.digest for one in repository.expired()])
    return tuple(
        (head.backup_id, f"it is hidden: {version.place}, then repeat")
        for head, version in hidden.versions
        if head.backup_id not in listed
    )


def changes(repository: Repository, private_pem: bytes, change: Rewrap) -> Mapping[str, Callable[[], Rewrapped]]:
    """Return a call for each backup and each run of WAL, by name, that changes its recipients.

    Raises UsageError for a recipient to remove that none has, and where one would be left with fewer than two, before
    the first of them is changed; HarnessError of the store.
    """
    entries = repository.committed()
    runs = {one.run: one for wal in read_systems(repository) for one in wal.lists}
    every: tuple[CommittedBackup | WalList, ...] = (*entries, *runs.values())
    known = frozenset[str]().union(*(recipients_ever(repository, one) for one in every))
    if unknown := [name for name in change.remove if name not in known]:
        raise UsageError(f"--remove {unknown[0]}: no backup has this recipient; recipients: {', '.join(sorted(known))}")
    signed: list[CommittedBackup | WalList] = [entry for entry in entries if entry.commit is not None]
    for one in (*signed, *runs.values()):
        require_recipients(repository, one, change)
    calls = {entry.backup_id: partial(rewrap, repository, entry, private_pem, change) for entry in entries}
    return calls | {
        f"WAL {name}": partial(rewrap_wal, repository, one, private_pem, change) for name, one in runs.items()
    }


def _change(
    repository: Repository, prefix: str, dek: bytes, bound: bytes, change: Rewrap, left: frozenset[str]
) -> Rewrapped:
    there = _below(repository, prefix)
    wrapped = {fingerprint(key): wrap(dek, key, bound) for key in map(read_public, change.add)}
    added, removed = sorted(left - there), sorted(there - left)
    for name in added:
        repository.store.put(f"{prefix}{name}", (wrapped[name],))
    # With its versions: who may read these opens the backup with what was wrapped for him.
    staying = [name for name in removed if not discard(repository.store, f"{prefix}{name}")]
    return Rewrapped(left, tuple(added), tuple(removed), tuple(f"{prefix}{name}" for name in staying))


def _place(repository: Repository, entry: CommittedBackup | WalList) -> tuple[str, str]:
    """Return what it is, in words, and the prefix of its wrapped data keys."""
    if isinstance(entry, WalList):
        return f"WAL of run {entry.run}", repository.layout.wal_keys(entry.run)
    return f"backup {entry.backup_id}", repository.layout.keys(entry.backup_id)


def _below(repository: Repository, prefix: str) -> frozenset[str]:
    return frozenset(entry.key.removeprefix(prefix) for entry in repository.store.list(prefix))
