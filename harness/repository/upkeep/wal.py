"""Removal of WAL: what shippers left (files that no list names, tails of runs that have ended), and what expired."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from harness.core.errors import HarnessError
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.format.wal import WalList
from harness.repository.store.expunge import discard, expunge, hide
from harness.repository.store.port import ObjectStore
from harness.repository.upkeep.reaper import ABANDONED
from harness.repository.wal.catalogue import WalCatalogue, read_systems
from harness.repository.wal.findings import missing_lists
from harness.repository.wal.heads import known_heads
from harness.repository.wal.hidden import hidden_lists, replaced
from harness.repository.wal.writer import PARTIAL


def reap_wal(repository: Repository, older_than: float = ABANDONED) -> tuple[str, ...]:
    """Delete leftovers older than `older_than` seconds; return their keys.

    A list that cannot be trusted, and one that was deleted before it expired or is hidden by a delete marker, may name
    them: then nothing is deleted.
    Raises HarnessError of the store.
    """
    known = known_heads(repository)
    systems = read_systems(repository, known.systems)
    if systems[0].damaged or known.doubts or any(missing_lists(wal, known) for wal in systems):
        return ()
    try:
        hidden = hidden_lists(repository, systems)
    except HarnessError:  # what may be hidden keeps its versions
        erase = hide
    else:
        erase = discard
        if hidden:
            return ()
    # The newest object counts as now at most: a clock that jumps ahead makes nothing old.
    newest = max((one.modified for one in repository.store.list(repository.layout.of("wal"))), default=None)
    if newest is None:
        return ()
    limit = min(repository.clock.wall(), newest) - timedelta(seconds=older_than)
    removed = [key for wal in systems for key in _removed_tails(repository, wal, limit, erase)]
    left = read_systems(repository) if removed else systems
    layout, lists = repository.layout, [one for wal in left for one in wal.lists]
    named = {layout.wal(one.run, entry.path) for one in lists for entry in one.entries}
    keys = {layout.wal_keys(one.run) for one in lists}
    for entry in list(repository.store.list(layout.of("wal"))):
        kept = entry.key in named or any(entry.key.startswith(prefix) for prefix in keys)
        if not kept and entry.modified <= limit:
            erase(repository.store, entry.key)
            removed.append(entry.key)
    return tuple(removed)


def _removed_tails(
    repository: Repository, wal: WalCatalogue, limit: datetime, erase: Callable[[ObjectStore, str], object]
) -> Iterator[str]:
    """Delete each old tail whose WAL is in another list as well; yield its key."""
    left = list(wal.lists)
    for tail in wal.lists:
        if tail.tail and tail.shipped_at <= limit and replaced(left, tail):
            key = repository.layout.wal_list(tail.sequence, tail.run, tail.tail)
            erase(repository.store, key)
            left = [one for one in left if one is not tail]  # of two equal tails one stays
            yield key


def expired_wal(
    wal: WalCatalogue, kept: Iterable[CommittedBackup], unlocked: datetime | None = None
) -> tuple[WalList, ...]:
    """Return the lists that no kept physical backup needs: those that end before all of them begin. Tails come first.

    Of the batches only the oldest in an unbroken row, as a missing one between others is a finding: a batch that was
    shipped after `unlocked`, which the store still keeps, ends it. Timeline histories stay, as later WAL needs them.
    Nothing without a physical backup, nor while a list cannot be trusted.
    """
    own = (entry.commit for entry in kept if entry.system == wal.cluster)
    starts = [commit.base.start for commit in own if commit and commit.base]
    if not starts or wal.damaged:
        return ()
    found = [one for one in wal.lists if one.tail and _before(one, min(starts))]
    for batch in (one for one in wal.lists if not one.tail):
        if batch.entries and all(entry.is_history for entry in batch.entries):
            continue
        if not _before(batch, min(starts)) or (unlocked is not None and batch.shipped_at > unlocked):
            break
        found.append(batch)
    return tuple(found)


def _before(listed: WalList, position: int) -> bool:
    """Return whether all that a list names ends before a position; a timeline history never does."""
    return all(not entry.is_history and entry.end <= position for entry in listed.entries)


def remove_wal(repository: Repository, expired: Sequence[WalList]) -> Iterator[tuple[str, str]]:
    """Remove lists, in order: each list, then its files, with all versions.

    Yield what each contained, and why it was not removed ("" when it was): the first of these is the last one, as what
    follows would be a hole. The keys of a run, and what an interruption leaves, are removed by `reap_wal`.
    """
    layout = repository.layout
    for one in expired:
        names = [entry.name for entry in one.entries] or ["nothing"]
        what = f"{'tail of ' if one.tail else ''}batch {one.sequence} of WAL: {names[0]}"
        what += f" to {names[-1]}" if len(names) > 1 else ""
        # A tail may name a file of a batch as well.
        paths = [entry.path for entry in one.entries if not one.tail or entry.path.endswith(PARTIAL)]
        try:
            expunge(repository.store, layout.wal_list(one.sequence, one.run, one.tail))
            for path in paths:
                expunge(repository.store, layout.wal(one.run, path))
        except HarnessError as error:
            yield what, str(error)
            return
        yield what, ""
