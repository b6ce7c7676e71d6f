"""Order of an estate's backups: by the chain that their signed COMMITs form, never by names or clocks.

Each backup names those that it follows by the digest of their COMMIT: usually one, two after backups that were taken at
the same time. Its number is one more than theirs.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain as joined

CLOCK = timedelta(minutes=5)  # by how much clocks of writer and reader may differ
MOST = 16  # backups that one may follow
SPANS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))


@dataclass(frozen=True, slots=True)
class Head:
    """A backup in the chain: its number, its name, and the SHA-256 of its COMMIT in hex."""

    sequence: int
    backup_id: str
    digest: str

    def __str__(self) -> str:
        return f"backup {self.backup_id} (number {self.sequence})"


@dataclass(frozen=True, slots=True)
class Link:
    """A signed COMMIT as a member of the chain. `follows`: the backups before it, none for the first."""

    head: Head
    follows: tuple[Head, ...]
    finished: datetime
    cluster: str

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Its place among all."""
        return self.head.sequence, self.finished, self.head.backup_id


@dataclass(frozen=True, slots=True)
class Chain:
    """Names of the backups, newest first; the newest of them; what contradicts the chain."""

    order: tuple[str, ...] = ()
    head: Head | None = None
    findings: tuple[str, ...] = ()


def follow(
    links: Iterable[Link],
    known: Iterable[Head],
    damaged: Collection[str],
    now: datetime,
    expired: Collection[Head] = (),
    systems: Collection[str] = (),
) -> Chain:
    """Return the chain of the links, and what contradicts it. `known`: newest backups that witnesses have seen.

    `damaged`: names of backups that are there and cannot be trusted: they are reported as that, and not as missing.
    Older backups may have been deleted when they expired, so the chain may begin with any number. `expired`: those that
    a writer's signed note says were removed. `systems`: database systems that are declared to write here: one may
    follow another.
    """
    excused = {head.digest for head in expired}
    chain = sorted(links, key=lambda link: link.order, reverse=True)
    seen = [head for head in dict.fromkeys(known) if head.backup_id not in damaged and head.digest not in excused]
    findings = joined(
        (line for head in seen if (line := _against(chain, head))),
        _missing(chain, damaged, excused),
        _times(chain, now, systems),
    )
    order = tuple(link.head.backup_id for link in chain)
    return Chain(order, chain[0].head if chain else None, tuple(dict.fromkeys(findings)))


def newest(links: Sequence[Link], known: Iterable[Head], expired: Collection[Head] = ()) -> tuple[Head, ...]:
    """Return what the next backup follows: all that none follows yet, and a known one even if it was deleted.

    `expired`: as in `follow`. Every backup follows all that none followed: of two, the later expired one followed the
    other.
    """
    later = max((head.sequence for head in expired), default=0)
    followed = {head.digest for link in links for head in link.follows}
    present = {link.head.digest for link in links}
    oldest = min((link.head.sequence for link in links), default=0)
    tips = [link.head for link in links if link.head.digest not in followed and link.head.sequence >= later]
    gone = present | followed | {head.digest for head in expired}
    tips += [head for head in dict.fromkeys(known) if head.digest not in gone and head.sequence >= oldest]
    return tuple(sorted(tips, key=lambda head: (head.sequence, head.backup_id), reverse=True)[:MOST])


def _missing(chain: Sequence[Link], damaged: Collection[str], expired: Collection[str]) -> Iterator[str]:
    present = {link.head.digest for link in chain} | set(expired)
    oldest = min((link.head.sequence for link in chain), default=0)
    for head in (head for link in chain for head in link.follows):
        if head.digest not in present and head.backup_id not in damaged and head.sequence > oldest:
            yield f"{head} is not in the repository, though older ones are: it was deleted"


def _times(chain: Sequence[Link], now: datetime, systems: Collection[str]) -> Iterator[str]:
    by_digest = {link.head.digest: link for link in chain}
    for link in chain:
        if link.finished - now > CLOCK:
            yield (
                f"{link.head} is {_span(link.finished - now)} in the future: the clock of its writer is wrong, or the "
                "one here"
            )
        for earlier in (by_digest[head.digest] for head in link.follows if head.digest in by_digest):
            if earlier.finished - link.finished > CLOCK:
                yield (
                    f"{link.head} was finished {_span(earlier.finished - link.finished)} before {earlier.head}, which "
                    "it follows: the writer's clock was wrong at one of them"
                )
            if link.cluster != earlier.cluster and not {link.cluster, earlier.cluster} <= {*systems}:
                yield (
                    f"{link.head} is of database system {link.cluster}, {earlier.head} of {earlier.cluster}: unless "
                    "the server was made anew, another one writes backups under this name"
                )


def _against(chain: Sequence[Link], known: Head) -> str:
    """Return what contradicts a known backup, "" when nothing does."""
    if any(link.head.digest == known.digest for link in chain):
        return ""
    same = next((link.head for link in chain if link.head.sequence == known.sequence), None)
    if not chain or chain[0].head.sequence < known.sequence:
        return f"{known}, the newest known, is not in the repository: it was deleted, or an older state was put back"
    if same is not None:
        return (
            f"{known}, which was seen before, is not in the repository, and {same} is: its history was replaced; "
            "or the witness is of another repository of the same name: declare one for each, existing.offsite.witness"
        )
    if chain[-1].head.sequence < known.sequence:
        return f"{known}, which was seen before, is not in the repository: it was deleted"
    return ""


def _span(time: timedelta) -> str:
    seconds = time.total_seconds()
    for size, unit in SPANS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
