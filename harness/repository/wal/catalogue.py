"""Catalogue of the shipped WAL: what is listed by trusted writers, and what is lacking, without opening a segment."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from harness.core.errors import Unreadable
from harness.core.parallel import in_order
from harness.core.wal import show_lsn
from harness.repository.catalogue import Repository
from harness.repository.format.commit import digest_of
from harness.repository.format.wal import LARGEST_LIST, WalEntry, WalLink, WalList, read_wal_list
from harness.repository.reader import small_object

FETCHED = 16  # lists at a time
KnownLists = dict[str, tuple[WalList, str]]  # lists and their digests by key
REPEATED = 3  # further readings, while a list that was named is replaced before it is fetched


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file in the repository, and the list that names it."""

    entry: WalEntry
    listed: WalList = field(repr=False)


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the way from a backup to a point in time: a timeline from `start` to `end`; None: as far as it goes."""

    timeline: int
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class WalCatalogue:
    """The shipped WAL of one database system.

    `segments`: timeline and start -> what is listed of that segment, the longest first; `histories`: timeline -> its
    history; `lists`: all trusted lists, the oldest first; `head`: the newest batch. `digests`: of the batches of every
    system; `damaged`: what cannot be trusted; `foreign`: a line for each other system that shipped here,
    unless both are declared to write to this repository.
    """

    cluster: str
    segments: Mapping[tuple[int, int], tuple[Shipped, ...]]
    histories: Mapping[int, Shipped]
    lists: tuple[WalList, ...]
    head: WalLink | None
    digests: frozenset[str] = frozenset()
    damaged: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def segment_size(self) -> int:
        """Return the bytes of a segment, of the newest that is listed; 0 when none is."""
        # A list that names a history alone has none, and stays when the WAL around it, of another size, expires.
        named = (one.segment_size for one in reversed(self.lists) if not all(entry.is_history for entry in one.entries))
        return next(named, 0)

    @property
    def timelines(self) -> tuple[int, ...]:
        """Return the timelines of which something is listed, in ascending order."""
        return tuple(sorted({timeline for timeline, _ in self.segments} | set(self.histories)))

    def way_to(self, timeline: int, start: int, target: int) -> tuple[Leg, ...]:
        """Return the legs from a position of `timeline` to the timeline `target`. Raises Unreadable for no way."""
        if target == timeline:
            return (Leg(timeline, start, None),)
        if target not in self.histories:
            raise Unreadable(f"timeline {target}: its history is not in the repository")
        legs: list[Leg] = []
        position = start
        for one in self.histories[target].entry.switches:
            if one.timeline < timeline:
                continue
            if one.at < position or (not legs and one.timeline != timeline):
                raise Unreadable(
                    f"timeline {target} left timeline {one.timeline} at {show_lsn(one.at)}, before "
                    f"{show_lsn(position)} of timeline {timeline}"
                )
            legs.append(Leg(one.timeline, position, one.at))
            position = one.at
        if not legs:
            raise Unreadable(f"timeline {target} does not come from timeline {timeline}")
        return (*legs, Leg(target, position, None))

    def reach(self, leg: Leg) -> tuple[int, tuple[Shipped, ...]]:
        """Return up to which position a leg is there without a hole, and the files of it, the last perhaps partial."""
        size, files = self.segment_size, []
        position = leg.start - leg.start % size if size else leg.start
        while leg.end is None or position < leg.end:
            found = self.segments.get((leg.timeline, position))
            if not found:
                break
            files.append(found[0])
            position += size
            if found[0].entry.end < position:
                return found[0].entry.end, tuple(files)
        return position if files else leg.start, tuple(files)

    def lacking(self, timeline: int, start: int, stop: int) -> str:
        """Return what is missing of the WAL between two positions of a timeline, "" when all of it is there."""
        if not self.segment_size:
            return "no WAL is in the repository"
        reached, _ = self.reach(Leg(timeline, start, stop))
        if reached >= stop:
            return ""
        return f"timeline {timeline} is there up to {show_lsn(reached)} only, and {show_lsn(stop)} is needed"

    def covered_until(self, timeline: int, end: int) -> datetime | None:
        """Return before when every acknowledged write is in the WAL of a timeline up to `end`; None: not known."""
        known = [
            one.covered_until
            for one in self.lists
            if one.covered_until is not None and (last := _last(one, timeline)) is not None and last <= end
        ]
        return max(known, default=None)


def _last(listed: WalList, timeline: int) -> int | None:
    """Return the largest position of a timeline that a list names, None when the timeline is not its newest."""
    newest = max((entry.timeline for entry in listed.entries), default=None)
    return max((entry.end for entry in listed.entries), default=0) if newest == timeline else None


def read_wal(repository: Repository, cluster: str = "", known: KnownLists | None = None) -> WalCatalogue:
    """Return the catalogue of the shipped WAL of a database system, by default that of the newest list.

    `known`: batches that were read before and are not fetched again, by their key; new ones are added. What no trusted
    writer signed is named in `damaged`. Raises HarnessError of the store.
    """
    lists, damaged = _all_lists(repository, known)
    system = cluster or next((one.cluster for one, _ in reversed(lists)), "")
    return _of(system, lists, damaged, repository.trust.systems)


def read_systems(repository: Repository, known: Iterable[str] = ()) -> tuple[WalCatalogue, ...]:
    """Return the catalogue of each database system that shipped WAL, and of the `known` ones; at least one.

    Raises HarnessError of the store.
    """
    lists, damaged = _all_lists(repository)
    systems = dict.fromkeys((*(one.cluster for one, _ in lists), *filter(None, known))) or ("",)
    return tuple(_of(system, lists, damaged, repository.trust.systems) for system in systems)


def newest_of(systems: Sequence[WalCatalogue]) -> str:
    """Return the database system that the newest list is of, "" where none has a list."""
    shipped = [one for one in systems if one.lists]
    return max(shipped, key=lambda one: _order(one.lists[-1])).cluster if shipped else ""


def _order(listed: WalList) -> tuple[int, int, datetime, str]:
    return listed.sequence, listed.tail, listed.shipped_at, listed.run


def _all_lists(repository: Repository, known: KnownLists | None = None) -> tuple[list[tuple[WalList, str]], list[str]]:
    """Return the trusted lists in order, each with its digest, and what cannot be trusted."""
    lists, failed = _lists(repository, {} if known is None else known)
    lists.sort(key=lambda one: _order(one[0]))
    return lists, [f"{key}: {why}" for key, why in failed.items()]


def _of(
    system: str, lists: Sequence[tuple[WalList, str]], damaged: Sequence[str], declared: Collection[str]
) -> WalCatalogue:
    own = [(one, digest) for one, digest in lists if one.cluster == system]
    batches = [(one, digest) for one, digest in own if not one.tail]
    head = batches[-1] if batches else None
    segments: dict[tuple[int, int], list[Shipped]] = {}
    histories: dict[int, Shipped] = {}
    for one, _ in own:
        for entry in one.entries:
            if entry.is_history:
                histories.setdefault(entry.timeline, Shipped(entry, one))
            else:
                segments.setdefault((entry.timeline, entry.start), []).append(Shipped(entry, one))
    return WalCatalogue(
        system,
        {place: tuple(sorted(found, key=lambda one: -one.entry.end)) for place, found in segments.items()},
        histories,
        tuple(one for one, _ in own),
        None if head is None else WalLink(sequence=head[0].sequence, run=head[0].run, digest=head[1]),
        frozenset(digest for one, digest in lists if not one.tail),
        tuple(damaged),
        tuple(
            f"WAL of database system {other} is in the repository of {system}: another server ships there"
            for other in sorted({one.cluster for one, _ in lists} - {system})
            if not {other, system} <= {*declared}
        ),
    )


def _lists(repository: Repository, known: KnownLists) -> tuple[list[tuple[WalList, str]], dict[str, str]]:
    """Return the trusted lists with their digests, and why each of the others is not trusted.

    A running receiver replaces its tail every few seconds. A tail that is gone before it is fetched is no damage: what
    replaced it is read, for it has all that was in it.
    """
    lists, failed = _fetched(repository, known)
    for _ in range(REPEATED):
        if not failed or failed.keys() <= set(_keys(repository)):
            break
        lists, failed = _fetched(repository, known)
    return lists, failed


def _fetched(repository: Repository, known: KnownLists) -> tuple[list[tuple[WalList, str]], dict[str, str]]:
    lists: list[tuple[WalList, str]] = []
    failed: dict[str, str] = {}
    for key, found in in_order(lambda key: known.get(key) or _read(repository, key), list(_keys(repository)), FETCHED):
        if isinstance(found, str):
            failed[key] = found
            continue
        lists.append(found)
        if not found[0].tail:  # a tail is replaced by another under its key
            known[key] = found
    return lists, failed


def _keys(repository: Repository) -> Iterator[str]:
    # Tails first: one that a batch replaces meanwhile is then at least in that batch.
    for kind in ("wal-tail", "wal-batch"):
        for entry in repository.store.list(repository.layout.of(kind)):
            yield entry.key


def _read(repository: Repository, key: str) -> tuple[WalList, str] | str:
    """Return a list and its digest, or why it is not trusted."""
    try:
        text = small_object(repository.store, key, LARGEST_LIST)
        listed = read_wal_list(text, repository.trust.writers)
        if key != repository.layout.wal_list(listed.sequence, listed.run, listed.tail):
            return f"is list {listed.sequence} of run {listed.run} in another place"
        if listed.estate != repository.estate:
            return f"belongs to estate {listed.estate}"
    except Unreadable as error:
        return str(error)
    return listed, digest_of(text)


def missing_objects(repository: Repository, catalogue: WalCatalogue) -> Sequence[str]:
    """Return a line for each listed file whose object is not stored with its size. Raises HarnessError of the store."""
    prefix = repository.layout.of("wal")
    there = {one.key.removeprefix(prefix): one.size for one in repository.store.list(prefix)}
    lines = []
    for one in (*(s for found in catalogue.segments.values() for s in found), *catalogue.histories.values()):
        stored = there.get(f"{one.listed.run}/{one.entry.path}")
        if stored != one.entry.stored_size and not one.listed.tail:
            lines.append(f"{one.entry.name}: {stored or 0} bytes are stored instead of {one.entry.stored_size}")
    return lines
