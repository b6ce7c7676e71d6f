"""Hidden lists of WAL: signed ones that lie under a delete marker or a later version."""

from collections.abc import Iterator, Sequence

from harness.core.errors import HarnessError, Unreadable
from harness.repository.catalogue import Repository
from harness.repository.format.wal import LARGEST_LIST, WalList, read_wal_list
from harness.repository.hidden import Version, hidden_versions
from harness.repository.store.port import Historical
from harness.repository.wal.catalogue import WalCatalogue

Hidden = tuple[WalList, Version]


def hidden_lists(repository: Repository, systems: Sequence[WalCatalogue]) -> tuple[Hidden, ...]:
    """Return the lists that are hidden and name WAL which did not expire, the oldest first, of other systems as well.

    `systems`: at least one catalogue; of a system without one nothing expired.
    A tail is deleted when another list takes its place: only one that none took the place of is hidden. What no trusted
    writer signed is passed over. Raises HarnessError, also where the key may not list versions.
    """
    layout = repository.layout
    # Before the batches: a tail that a batch replaces meanwhile is then seen with that batch.
    last = _last_tails(repository)
    digests = systems[0].digests  # of every system
    found = [one for one in _lists(repository, layout.of("wal-batch")) if one[1].digest not in digests]
    listed = [one for wal in systems for one in wal.lists]
    tails = _lists(repository, layout.of("wal-tail"), last) if last else ()
    found += [one for one in tails if not replaced(listed, one[0])]
    oldest = {wal.cluster: oldest_batch(wal) for wal in systems}
    there = (one for one in found if one[0].sequence >= oldest.get(one[0].cluster, 0))
    return tuple(sorted(there, key=lambda one: (one[0].sequence, one[0].tail)))


def hidden_line(repository: Repository, catalogue: WalCatalogue) -> Iterator[str]:
    """Yield the finding about hidden lists of a database system, nothing where there are none."""
    try:
        every = hidden_lists(repository, [catalogue])
    except HarnessError:  # the catalogue of backups says so
        return
    hidden = [one for one in every if catalogue.cluster in ("", one[0].cluster)]
    if hidden:
        listed, version = hidden[-1]
        what = f"{'tail of ' if listed.tail else ''}batch {listed.sequence} of WAL (run {listed.run})"
        more = f" and {len(hidden) - 1} before it are" if len(hidden) > 1 else " is"
        yield f"{what}{more} hidden: {version.place}"


def replaced(lists: Sequence[WalList], tail: WalList) -> bool:
    """Return whether each file of a tail is in another list, at least as long."""
    there: dict[str, int] = {}
    for one in (entry for listed in lists if listed is not tail for entry in listed.entries):
        there[one.name] = max(one.end, there.get(one.name, 0))
    return all(there.get(entry.name, -1) >= entry.end for entry in tail.entries)


def oldest_batch(catalogue: WalCatalogue) -> int:
    """Return the number of the oldest batch, 0 without one: those before it expired."""
    # A batch with a timeline history stays when those around it expire.
    expiring = (one for one in catalogue.lists if not one.tail and not any(entry.is_history for entry in one.entries))
    return min((one.sequence for one in expiring), default=0)


def _last_tails(repository: Repository) -> frozenset[str]:
    """Return the keys of the deleted tails that neither a batch nor a later tail of their run replaced."""
    store, layout = repository.store, repository.layout
    if not isinstance(store, Historical):
        return frozenset()
    newest: dict[str, tuple[str, bool]] = {}  # number and run of the batch to come -> its last tail, whether it is read
    for one in store.versions(layout.of("wal-tail")):
        batch = one.key.removeprefix(layout.of("wal-tail")).removesuffix(".json").rpartition(".")[0]
        last, read = newest.get(batch, ("", False))
        if not one.marker and one.key >= last:
            newest[batch] = one.key, one.newest or (read and one.key == last)
    for one in store.versions(layout.of("wal-batch")):
        newest.pop(one.key.removeprefix(layout.of("wal-batch")).removesuffix(".json"), None)
    return frozenset(key for key, read in newest.values() if not read)


def _lists(repository: Repository, prefix: str, only: frozenset[str] | None = None) -> Iterator[Hidden]:
    wanted = (lambda key: key in only) if only is not None else (lambda key: True)
    layout = repository.layout
    for one in hidden_versions(repository.store, prefix, LARGEST_LIST, wanted).versions:
        try:
            listed = read_wal_list(one.text, repository.trust.writers)
        except Unreadable:
            continue
        place = layout.wal_list(listed.sequence, listed.run, listed.tail)
        if (listed.estate, place) == (repository.estate, one.key):
            yield listed, one
