"""Removal of backups that were never committed. It stops where COMMITs seem to have been lost."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from harness.core.clock import Clock
from harness.core.errors import HarnessError
from harness.repository.catalogue import Repository
from harness.repository.format.layout import begun_at
from harness.repository.hidden import ever_committed
from harness.repository.store.expunge import discard, hide, remove
from harness.repository.store.port import Sweepable

ABANDONED = 24 * 3600.0  # seconds
SHOWN = 3  # names in an alert


@dataclass(frozen=True, slots=True)
class Reaped:
    """Names of removed backups, and of those that lack their COMMIT although they were complete: nothing is removed.

    `left`: of the removed, those of which the store may keep older versions.
    """

    removed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What is left of what was removed, as one line; "" when nothing is."""
        if not self.left:
            return ""
        return (
            f"{', '.join(self.left)}: deleted; older versions stay where the bucket keeps them, as these keys may not "
            "list or delete versions; let a lifecycle rule of the bucket remove them"
        )

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
    staying = tuple(name for name in left if not remove(store, layout, name, erase))
    for backup_id in sorted(having["intent"] & kept):
        erase(store, layout.intent(backup_id))
    if isinstance(store, Sweepable):
        with suppress(HarnessError):  # keys that may not list uploads: a lifecycle rule of the bucket aborts them
            store.sweep(f"{repository.estate}/", older_than)
    return Reaped(removed=left, left=staying)


def _old(newest: Mapping[str, datetime], kept: AbstractSet[str], clock: Clock, older_than: float) -> tuple[str, ...]:
    limit = clock.wall() - timedelta(seconds=older_than)
    return tuple(name for name, last in sorted(newest.items()) if name not in kept and last <= limit)
