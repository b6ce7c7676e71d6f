"""Retention: which committed backups are kept, and the removal of the others, noted and signed before it begins.

Grandfather, father, son: the newest backup of each of the last days, weeks, months and years *that have one* is kept.
Nothing is counted from today's date, so that a clock that is wrong expires nothing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.core.errors import HarnessError, Refused, Unreadable
from harness.repository.catalogue import Catalogue, CommittedBackup, Repository
from harness.repository.chain import Head
from harness.repository.format.commit import Predecessor
from harness.repository.format.expiry import MOST, Expiry
from harness.repository.format.layout import Layout, new_id
from harness.repository.lineage import lineage
from harness.repository.store.expunge import all_below, expunge
from harness.repository.store.port import ObjectStore
from harness.repository.upkeep.expired import read_expired

PERIODS: Mapping[str, Callable[[datetime], tuple[int, ...]]] = {
    "day": lambda at: (at.year, at.month, at.day),
    "week": lambda at: tuple(at.isocalendar()[:2]),
    "month": lambda at: (at.year, at.month),
    "year": lambda at: (at.year,),
}
NOT_PERMITTED = "permit the writer to read it, or remove that object if nobody trusted wrote it"
LOST = "repair its disk or its volume, or copy it back from a copy of the bucket; without it the chain has a hole"


@dataclass(frozen=True, slots=True)
class Policy:
    """How many are kept: the newest `last`, and one for each of so many days, weeks, months and years that have one.

    `verified`: the fewest kept backups that were opened completely; below it nothing is removed.
    """

    last: int = 3
    day: int = 7
    week: int = 4
    month: int = 12
    year: int = 0
    verified: int = 2


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one backup. `kept`: the reasons; none: it expires, after `locked_until` if the store keeps it."""

    entry: CommittedBackup
    kept: tuple[str, ...]
    locked_until: datetime | None = None

    @property
    def expires(self) -> bool:
        """Whether it is to be removed now."""
        return not self.kept and self.locked_until is None


def decide(repository: Repository, policy: Policy) -> tuple[Decision, ...]:
    """Return what becomes of each committed backup, newest first. Changes nothing.

    Raises Refused with the reason when nothing may be removed (the chain is contradicted, too few kept backups were
    ever opened), HarnessError of the store or of a witness.
    """
    catalogue, opened = repository.catalogue(notes=None), repository.opened(by_any=True)
    if catalogue.findings:
        raise Refused(
            f"retention: nothing is removed while the repository is in doubt: {'; '.join(catalogue.findings)}"
        )
    if denied := [entry for entry in catalogue.entries if entry.denied]:  # what it needs is not known
        raise Refused(
            f"retention: nothing is removed while the store does not show a COMMIT: {denied[0].damaged}; "
            f"{LOST if denied[0].lost else NOT_PERMITTED}"
        )
    reasons = _reasons(catalogue, policy)
    shown = [entry for entry in catalogue.entries if _opened(entry, catalogue.entries, opened)]
    if len(shown) < policy.verified:
        raise Refused(
            f"retention: nothing is removed: {len(shown)} backups were ever opened completely, "
            f"backup.retention.verified is {policy.verified}; run `blackstart verify`, or a drill, with this witness"
        )
    for entry in shown[: policy.verified]:
        reasons[entry.backup_id].append("verified")
    now = repository.clock.wall()
    _keep_parents(catalogue, reasons, now)
    return tuple(Decision(e, tuple(reasons[e.backup_id]), _locked(e, now)) for e in catalogue.entries)


def _opened(entry: CommittedBackup, entries: Sequence[CommittedBackup], opened: Collection[str]) -> bool:
    """Return whether a backup and all that it builds on were opened completely."""
    if entry.damaged is not None:
        return False
    with suppress(Unreadable):
        return all(one.digest in opened for one in lineage(entry, entries))
    return False


def _keep_parents(catalogue: Catalogue, reasons: Mapping[str, list[str]], now: datetime) -> None:
    """Add the reason to each backup that one which stays builds on, directly or not."""
    there = {entry.backup_id: entry for entry in catalogue.entries}
    for entry in catalogue.entries:  # also of one with a broken chain, whose lost parent may come back
        if not reasons[entry.backup_id] and _locked(entry, now) is None:
            continue
        above: CommittedBackup | None = entry
        while above is not None and above.parent is not None:
            name = above.parent.backup_id
            if name in reasons and (why := f"parent of {above.backup_id}") not in reasons[name]:
                reasons[name].append(why)
            above = there.get(name)


def _reasons(catalogue: Catalogue, policy: Policy) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {entry.backup_id: [] for entry in catalogue.entries}
    tips = {tip.backup_id for tip in catalogue.tips}
    dated: list[tuple[CommittedBackup, datetime]] = []
    for entry in catalogue.entries:
        if entry.damaged is not None or entry.commit is None:
            reasons[entry.backup_id].append("not trusted" if entry.damaged else "not signed")
            continue
        if entry.backup_id in tips:
            reasons[entry.backup_id].append("newest")
        dated.append((entry, entry.commit.snapshot_at.astimezone(UTC)))
    for physical in (False, True):  # neither kind is kept instead of the other
        _keep_by_date([(entry, at) for entry, at in dated if entry.physical is physical], policy, reasons)
    return reasons


def _keep_by_date(
    dated: Sequence[tuple[CommittedBackup, datetime]], policy: Policy, reasons: Mapping[str, list[str]]
) -> None:
    for entry, _ in dated[: policy.last]:
        reasons[entry.backup_id].append("last")
    for name, period in PERIODS.items():
        newest: dict[tuple[int, ...], CommittedBackup] = {}
        for entry, at in dated:
            newest.setdefault(period(at), entry)
        for key in sorted(newest, reverse=True)[: getattr(policy, name)]:
            reasons[newest[key].backup_id].append(name)


def _locked(entry: CommittedBackup, now: datetime) -> datetime | None:
    until = entry.commit.locked_until if entry.commit else None
    return until if until is not None and until > now else None


def remove_expired(
    repository: Repository, decisions: Sequence[Decision], signing_key: Ed25519PrivateKey
) -> Iterator[tuple[str, str]]:
    """Remove what expires, oldest first; yield each name, and why it was not removed ("" when it was).

    A signed note of them is stored first: afterwards their absence is no finding, whenever this is interrupted, and the
    next run goes on. COMMIT goes first, then what it completes, with all versions. Raises HarnessError before that.
    """
    store, layout = repository.store, repository.layout
    trust = replace(repository.trust, writers=(*repository.trust.writers, signing_key.public_key()))
    before = read_expired(store, layout, trust.writers, most=None)
    noted = before.heads
    going = _going(decisions)[:MOST]
    names = [*_left_over(store, layout, noted, decisions), *going]
    if not names:
        return
    store.put(layout.expiry(new_id(repository.clock)), (_note(repository, noted, decisions).signed(signing_key),))
    whole = True
    for name in names:
        try:
            _erase(store, layout, name)
        except HarnessError as error:
            whole = False
            yield name, str(error)
        else:
            yield name, ""
    if whole:
        for key in before.keys:
            expunge(store, key)


def _going(decisions: Sequence[Decision]) -> list[str]:
    """Return the names of what expires, oldest first, but what builds on a backup before that one."""
    names: list[str] = []
    for entry in (decision.entry for decision in reversed(decisions) if decision.expires):
        parent = entry.parent.backup_id if entry.parent is not None else ""
        names.insert(names.index(parent) if parent in names else len(names), entry.backup_id)
    return names


def _left_over(
    store: ObjectStore, layout: Layout, noted: Sequence[Head], decisions: Sequence[Decision]
) -> tuple[str, ...]:
    """Return what an interrupted removal left: noted, without COMMIT, and still there."""
    gone = {head.backup_id for head in noted} - {decision.entry.backup_id for decision in decisions}
    kinds = ("manifest", "keys", "writer", "data") if gone else ()
    there = {layout.id_in(entry.key) for kind in kinds for entry in store.list(layout.of(kind))}
    return tuple(sorted(gone & there))


def _note(repository: Repository, noted: Sequence[Head], decisions: Sequence[Decision]) -> Expiry:
    """Return the note of what expires now and of what expired before, unless it is older than all that is kept."""
    committed = [(decision, decision.entry.commit) for decision in decisions]
    oldest = min((commit.sequence for one, commit in committed if commit and not one.expires), default=0)
    now = [
        Head(commit.sequence, one.entry.backup_id, one.entry.digest)
        for one, commit in committed
        if commit and one.expires
    ]
    heads = dict.fromkeys([*now, *(head for head in noted if head.sequence > oldest)])
    backups = tuple(Predecessor(**asdict(head)) for head in tuple(heads)[:MOST])
    return Expiry(estate=repository.estate, at=repository.clock.wall(), backups=backups)


def _erase(store: ObjectStore, layout: Layout, backup_id: str) -> None:
    expunge(store, layout.commit(backup_id))
    for prefix in reversed(layout.whole(backup_id)):
        for entry in all_below(store, prefix):
            expunge(store, entry.key)
    expunge(store, layout.intent(backup_id))  # deleted after COMMIT, but a version of it may be left
