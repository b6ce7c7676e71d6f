"""Removal of backups that were never committed. It stops where COMMITs seem to have been lost."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from harness.core.clock import Clock
from harness.core.errors import HarnessError
from harness.repository.catalogue import Repository
from harness.repository.format.layout import Layout, begun_at
from harness.repository.hidden import ever_committed
from harness.repository.store.expunge import discard, hide, remove
from harness.repository.store.port import ObjectStore, Sweepable

ABANDONED = 24 * 3600.0  # seconds
SHOWN = 3  # names in an alert


@dataclass(frozen=True, slots=True)
class Reaped:
    """Names of removed backups, and of those that lack their COMMIT although they were complete: nothing is removed.

    `left`: of the removed, those of which the store may keep older versions; `refused`: why others were not removed.
    """

    removed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What is left of what was to be removed, as one line; "" when nothing is."""
        why = (
            "deleted; older versions stay where the bucket keeps them, as these keys may not list or delete versions; "
            "let a lifecycle rule of the bucket remove them"
        )
        kept = (f"{', '.join(self.left)}: {why}",) if self.left else ()
        return "; ".join((*kept, *(f"not removed: {line}" for line in self.refused)))

    @property
    def alarm(self) -> str:
        """What was found, as one line for an alert; "" when nothing was lost."""
        if not self.lost:
            return ""
        names = ", ".join(self.lost[:SHOWN]) + (", ..." if len(self.lost) > SHOWN else "")
        return (
            f"{len(self.lost)} complete backups have no COMMIT any more ({names}): it was deleted, or a lifecycle rule "
            "expired it. Nothing was removed; restore the COMMITs from older versions of these objects"
        )


def reap(repository: Repository, older_than: float = ABANDONED) -> Reaped:
    """Delete uncommitted backups older than `older_than` seconds, in the layout only; return what was done.

    A writer deletes its intent after COMMIT alone: a manifest without intent and COMMIT was a complete backup.
    Raises HarnessError of the store or of a witness.
    """
    store, layout = repository.store, repository.layout
    newest: dict[str, datetime] = {}
    having: dict[str, set[str]] = {kind: set() for kind in ("intent", "data", "writer", "keys", "manifest")}
    for kind, names in having.items():
        for entry in store.list(layout.of(kind)):
            backup_id = layout.id_in(entry.key)
            begun = begun_at(backup_id)
            if begun is not None:
                newest[backup_id] = max(newest.get(backup_id, begun), entry.modified)
                names.add(backup_id)
    # Listed last, so that a backup committed during the listings above is included.
    kept = {layout.id_in(entry.key) for entry in store.list(layout.of("commit"))}
    # What a delete marker hides is no leftover: it is whole again once the marker is removed.
    try:
        hidden, erase = ever_committed(store, layout), discard
    except HarnessError:
        hidden, erase = frozenset[str](), hide
    left = _old(newest, kept | hidden, repository.clock, older_than)
    known = {head.backup_id for head in repository.known()}
    expired = {head.backup_id for head in repository.expired()}
    if lost := (having["manifest"] - having["intent"] | known & set(newest)) - kept - expired:
        return Reaped(lost=tuple(sorted(lost)))
    staying, refused = _removed(store, layout, left, erase)
    for backup_id in sorted(having["intent"] & kept):
        erase(store, layout.intent(backup_id))
    if isinstance(store, Sweepable):
        with suppress(HarnessError):  # keys that may not list uploads: a lifecycle rule of the bucket aborts them
            store.sweep(f"{repository.estate}/", older_than)
    removed = tuple(name for name in left if name not in refused)
    return Reaped(removed=removed, left=staying, refused=tuple(f"{name}: {why}" for name, why in refused.items()))


def _removed(
    store: ObjectStore, layout: Layout, names: Sequence[str], erase: Callable[[ObjectStore, str], bool]
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Remove backups; return those of which versions stay, and why others were not removed, which costs no backup."""
    staying, refused = list[str](), dict[str, str]()
    for name in names:
        try:
            staying += [] if remove(store, layout, name, erase) else [name]
        except HarnessError as error:
            refused[name] = str(error)
    return tuple(staying), refused


def _old(newest: Mapping[str, datetime], kept: AbstractSet[str], clock: Clock, older_than: float) -> tuple[str, ...]:
    limit = clock.wall() - timedelta(seconds=older_than)
    return tuple(name for name, last in sorted(newest.items()) if name not in kept and last <= limit)
