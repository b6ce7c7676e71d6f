"""What is wrong with the shipped WAL, found from its signed lists alone."""

from collections.abc import Iterator

from harness.core.wal import segment_name, show_lsn
from harness.repository.catalogue import Repository
from harness.repository.chain import Head
from harness.repository.format.wal import TimelineEnd
from harness.repository.wal.catalogue import Shipped, WalCatalogue
from harness.repository.wal.heads import KnownHeads, head_of, known_heads
from harness.repository.wal.hidden import hidden_line, oldest_batch


def wal_findings(repository: Repository, catalogue: WalCatalogue) -> tuple[str, ...]:
    """Return a line for each hole, contradicting duplicate, foreign or wrong timeline, deleted and hidden list."""
    known = known_heads(repository)
    lines = [
        *catalogue.damaged,
        *catalogue.foreign,
        *hidden_line(repository, catalogue),
        *missing_lists(catalogue, known),
        *_duplicates(catalogue),
        *_two_histories(catalogue),
        *_timelines(catalogue),
    ]
    lines += [line for timeline in catalogue.timelines for line in holes(catalogue, timeline)]
    return (*dict.fromkeys(lines), *known.doubts)


def missing_lists(catalogue: WalCatalogue, known: KnownHeads) -> tuple[str, ...]:
    """Return a line for each batch that was there and did not expire. `known`: the newest that witnesses know."""
    rolled_back = (_rolled_back(catalogue, head) for head in known.of(catalogue.cluster))
    return (*_deleted(catalogue), *filter(None, rolled_back))


def _deleted(catalogue: WalCatalogue) -> Iterator[str]:
    oldest = oldest_batch(catalogue)
    for one in catalogue.lists:
        before = one.follows
        if before is not None and before.digest not in catalogue.digests and before.sequence >= oldest:
            name = f"batch {before.sequence} of WAL (run {before.run})"
            yield f"{name} is not in the repository: it was deleted or replaced"


def _rolled_back(catalogue: WalCatalogue, known: Head) -> str:
    """Return what contradicts a batch that a witness knows, "" when nothing does."""
    newest = head_of(catalogue)
    if known.digest in catalogue.digests or (newest is not None and newest.sequence > known.sequence):
        return ""
    return (
        f"batch {known.sequence} of WAL (run {known.backup_id}), which was seen before, is not in the repository: it "
        "was deleted, or an older state was put back"
    )


def _duplicates(catalogue: WalCatalogue) -> Iterator[str]:
    for found in catalogue.segments.values():
        whole = [one for one in found if one.entry.end == found[0].entry.end]
        if len({one.entry.plain_sha256 for one in whole}) > 1:
            runs = ", ".join(sorted({one.listed.run for one in whole}))
            yield (
                f"{found[0].entry.name} is in the repository with different contents (runs {runs}): two servers write "
                "the same timeline; restore from a backup before it, or name the timeline"
            )


def _two_histories(catalogue: WalCatalogue) -> Iterator[str]:
    """Yield a line for each timeline of which two histories say different things: the older one is restored by."""
    said: dict[str, dict[tuple[TimelineEnd, ...], str]] = {}
    for one in catalogue.lists:
        for entry in one.entries:
            if entry.is_history:
                said.setdefault(entry.name, {}).setdefault(entry.switches, one.run)
    for name, runs in sorted(said.items()):
        if len(runs) > 1:
            yield (
                f"{name} is in the repository with different contents (runs {', '.join(sorted(runs.values()))}): two "
                "servers were promoted to this timeline; restore to a timeline before it, and take a new physical "
                "backup of the server that stays"
            )


def _timelines(catalogue: WalCatalogue) -> Iterator[str]:
    for timeline in catalogue.timelines:
        if timeline > 1 and timeline not in catalogue.histories:
            yield f"timeline {timeline} has segments and no history: where it begins is not known; push its history"
    for later, shipped in sorted(catalogue.histories.items()):
        ends = {one.timeline: one.at for one in shipped.entry.switches}
        after = [
            one
            for (timeline, start), found in sorted(catalogue.segments.items())
            if timeline in ends and start >= ends[timeline]
            for one in found[:1]
        ]
        for one in after[:1]:
            end = ends[one.entry.timeline]
            yield (
                f"{one.entry.name} and {len(after) - 1} more are of timeline {one.entry.timeline} after its end at "
                f"{show_lsn(end)}, where timeline {later} took over: their writes are on no way to it"
            )


def holes(catalogue: WalCatalogue, timeline: int) -> Iterator[str]:
    """Yield a line for each hole in a timeline of the continuous archive."""
    size = catalogue.segment_size
    there = {start: found[0] for (of, start), found in catalogue.segments.items() if of == timeline}
    whole = sorted(start for start, one in there.items() if one.entry.end == start + size)
    if not any(_archived(catalogue, timeline, start) for start in there):
        return
    first = min(start for start in there if _archived(catalogue, timeline, start))
    last = max(start for start in there if _archived(catalogue, timeline, start))
    expected = first
    for start in [one for one in whole if first <= one <= last] + ([last] if last not in whole else []):
        if start > expected:
            yield (
                f"timeline {timeline}: {_between(timeline, expected, start, size)} missing; no point in time after "
                f"{show_lsn(expected)} is reached from a backup before it; take a new physical backup"
            )
        expected = start + size


def _between(timeline: int, start: int, end: int, size: int) -> str:
    count = (end - start) // size
    first, last = segment_name(timeline, start, size), segment_name(timeline, end - size, size)
    return f"segment {first} is" if count == 1 else f"{count} segments, {first} to {last}, are"


def _archived(catalogue: WalCatalogue, timeline: int, start: int) -> bool:
    found: tuple[Shipped, ...] = catalogue.segments.get((timeline, start), ())
    return any(one.listed.purpose == "archive" for one in found)
