"""Choice of the base backup and of the WAL for a target, from the catalogue: what cannot be reached is refused."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from harness.core.contents import PhysicalFacts
from harness.core.errors import NoValidBackup, Refused, Unreadable
from harness.core.wal import segment_start, show_lsn
from harness.physical.target import CONSISTENT, LATEST, Target
from harness.repository.catalogue import CommittedBackup, OpenBackup, Repository
from harness.repository.lineage import lineage
from harness.repository.wal.catalogue import Leg, Shipped, WalCatalogue


@dataclass(frozen=True, slots=True)
class Way:
    """A base backup, and the WAL from it on. `end`: the position up to which there is no hole.

    `timeline`: the one that it ends on; `covered_until`: every write acknowledged before that time is in it, None: not
    known. `histories`: of every timeline, so that a new one gets another number. `passed_over`: why no newer timeline.
    `damaged`: newer backups that cannot be restored, each with the reason. `parents`: what an incremental backup builds
    on, the full one first. `lost`: a finding for WAL that is listed and cannot be read.
    """

    backup: OpenBackup
    facts: PhysicalFacts
    timeline: int
    end: int
    covered_until: datetime | None
    files: tuple[Shipped, ...]
    histories: tuple[Shipped, ...]
    passed_over: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    parents: tuple[OpenBackup, ...] = ()
    lost: tuple[str, ...] = ()

    def until(self, files: Sequence[Shipped], why: str) -> "Way":
        """Return the way that is left where the WAL after its first `files` cannot be read. `why`: the reason.

        Raises Unreadable where the backup itself needs that WAL, or the way changes its timeline after it.
        """
        next_ = self.files[len(files)].entry
        if next_.start < self.facts.stop or next_.timeline != self.timeline or not files:
            raise Unreadable(why)
        line = (
            f"{why}; it and all WAL after it is lost, from {show_lsn(next_.start)} to {show_lsn(self.end)} on timeline "
            f"{next_.timeline}: no point in time after {show_lsn(next_.start)} is reached from a backup before it; "
            "take a new physical backup"
        )
        return replace(self, end=next_.start, files=tuple(files), covered_until=None, lost=(*self.lost, line))

    def alone(self) -> "Way":
        """Return the way to the moment at which the backup is consistent, with no more WAL than it needs itself."""
        own = [one for one in self.files if one.entry.timeline == self.facts.timeline]
        files = tuple(one for one in own if one.entry.start < self.facts.stop)
        return replace(self, timeline=self.facts.timeline, end=self.facts.stop, covered_until=None, files=files)

    @property
    def name(self) -> str:
        """Return the name of the backup."""
        return self.backup.backup_id

    @property
    def range(self) -> str:
        """Return which points in time it reaches."""
        until = self.covered_until.isoformat(timespec="seconds") if self.covered_until else "a time that is not known"
        return (
            f"backup {self.name}: {show_lsn(self.facts.stop)} to {show_lsn(self.end)} on timeline {self.timeline}, "
            f"{self.facts.stopped_at.isoformat(timespec='seconds')} to {until}"
        )

    @property
    def to_fetch(self) -> int:
        """Return the bytes of the backup and all that it builds on, before compression."""
        return sum(one.manifest.plain_size for one in (*self.parents, self.backup))

    def size(self) -> int:
        """Return the bytes that its restore needs on the disk."""
        # The parts of a chain are there until they are combined; the result is about as large as the full one.
        combined = max((one.manifest.plain_size for one in self.parents[:1]), default=0)
        return self.to_fetch + combined + len(self.files) * self.facts.segment_size


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to restore. `backup_id`: a base backup, "": any; `timeline`: on which to end, 0: the newest."""

    target: Target
    backup_id: str = ""
    timeline: int = 0


END = Wanted(Target(LATEST))  # the newest base backup, to the end of its WAL


def ways(
    repository: Repository,
    entries: Sequence[CommittedBackup],
    wal: WalCatalogue,
    private_pem: bytes,
    wanted: Wanted,
) -> Iterator[Way]:
    """Yield the base backups that may reach the target, the best first. Raises HarnessError of the store.

    `entries`: the committed backups, newest first.
    Raises NoValidBackup, caused by the last refusal, when there is none at all, Refused with what can be reached when
    the target is outside.
    """
    found: list[Way] = []
    reasons: list[str] = []
    refused: Unreadable | None = None
    other: list[str] = []  # of a database system that is declared to write here as well: none of this one's
    for entry in (one for one in entries if wanted.backup_id in ("", one.backup_id)):
        if entry.damaged is not None:  # it does not say whether it is a physical one
            reasons.append(f"{entry.backup_id}: {entry.damaged}")
        if not entry.physical:
            continue
        try:
            chain = tuple(repository.open(one, private_pem) for one in lineage(entry, entries))
            way = replace(way_from(chain[-1], wal, wanted.timeline), parents=chain[:-1])
            found.append(way.alone() if wanted.target.kind == CONSISTENT else way)
        except Unreadable as error:
            refused = error
            both = entry.system != wal.cluster and {entry.system, wal.cluster} <= {*repository.trust.systems}
            (other if both else reasons).append(f"{entry.backup_id}: {error}")
            continue
        if (fits := _fits(found[-1], wanted.target)) is None or fits:
            yield replace(found[-1], damaged=tuple(reasons))
            if fits:
                return
    if not found:
        named = f"{wanted.backup_id} is no physical backup that can be restored" if wanted.backup_id else ""
        raise NoValidBackup(
            f"estate {repository.estate}: {named or 'no physical backup can be restored'}: "
            f"{'; '.join((*reasons, *other)) or 'none is committed; take one with `blackstart backup --mode physical`'}"
        ) from refused
    raise Refused(_outside(wanted.target, found, wal, (*reasons, *other)))


def _outside(target: Target, found: Sequence[Way], wal: WalCatalogue, reasons: Sequence[str]) -> str:
    lines = "; ".join((*(way.range for way in found), *reasons, *_other_timelines(target, found, wal)))
    return f"{target} is outside of what can be reached, or not found there; there is: {lines}"


def _other_timelines(target: Target, found: Sequence[Way], wal: WalCatalogue) -> Iterator[str]:
    """Yield the hint of the newest other timeline that reaches a target, or may do so; nothing without one."""
    fits: dict[int, bool] = {}
    for way in found:
        for timeline in wal.timelines:
            if timeline == way.timeline or fits.get(timeline):
                continue
            with suppress(Unreadable):
                other = way_from(way.backup, wal, timeline)
                known = _fits(other, target)
                if known or (known is None and target.time is None):
                    fits[timeline] = bool(known)
    if sure := [timeline for timeline, known in fits.items() if known]:
        yield f"timeline {max(sure)} reaches it: give --timeline {max(sure)}"
    elif fits:
        yield f"if it is of timeline {max(fits)}, give --timeline {max(fits)}"


def way_from(backup: OpenBackup, wal: WalCatalogue, timeline: int = 0) -> Way:
    """Return the way from a base backup on. Raises Unreadable when its own WAL is not complete."""
    facts = backup.manifest.contents.physical
    if facts is None:
        raise Unreadable("its manifest is of a logical backup")
    if wal.cluster != backup.manifest.cluster:
        raise Unreadable(
            f"the newest backup is of database system {wal.cluster}, this one of {backup.manifest.cluster}"
        )
    if (lacking := wal.lacking(facts.timeline, facts.start, facts.stop)) != "":
        raise Unreadable(lacking)
    reasons: list[str] = []
    for target in (timeline,) if timeline else sorted({facts.timeline, *wal.timelines}, reverse=True):
        try:
            legs = wal.way_to(facts.timeline, facts.start, target)
            end, files = _follow(wal, legs)
        except Unreadable as error:
            reasons.append(str(error))
            continue
        histories = tuple(wal.histories.values())
        return Way(backup, facts, target, end, wal.covered_until(target, end), files, histories, tuple(reasons))
    raise Unreadable("; ".join(reasons))


def _follow(wal: WalCatalogue, legs: Sequence[Leg]) -> tuple[int, tuple[Shipped, ...]]:
    """Return the end of the legs and all files. Raises Unreadable for a hole before the last one."""
    files: list[Shipped] = []
    for leg in legs[:-1]:
        end, found = wal.reach(leg)
        # The segment in which a timeline ends is on the next one as well.
        if leg.end is not None and end < segment_start(leg.end, wal.segment_size):
            raise Unreadable(
                f"timeline {leg.timeline} is there up to {show_lsn(end)} only, and ends at {show_lsn(leg.end)}"
            )
        files += found
    end, found = wal.reach(legs[-1])
    if len(legs) > 1 and not found:
        raise Unreadable(f"timeline {legs[-1].timeline}: its first segment is not in the repository")
    return end, (*files, *found)


def _fits(way: Way, target: Target) -> bool | None:
    """Return whether a way reaches a target; None where only the replay can tell."""
    if target.kind in (LATEST, CONSISTENT):
        return True
    if target.position is not None:
        return way.facts.stop <= target.position <= way.end
    if target.time is not None:
        if target.time < way.facts.stopped_at:
            return False
        return True if way.covered_until is not None and target.time <= way.covered_until else None
    return None
