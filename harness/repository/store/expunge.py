"""Deletion that leaves no older version."""

from collections.abc import Callable

from harness.core.errors import HarnessError
from harness.repository.format.layout import Layout
from harness.repository.store.port import Closable, ObjectStore, StoredObject, Versioned


def expunge(store: ObjectStore, key: str) -> None:
    """Delete an object, with its older versions where the store keeps them. Raises HarnessError."""
    if isinstance(store, Versioned):
        store.expunge(key)
    else:
        store.delete(key)


def discard(store: ObjectStore, key: str) -> bool:
    """Delete an object, with its older versions where the writer may delete these and no lock keeps them.

    Return whether nothing of it is left. Raises HarnessError when the object itself cannot be deleted.
    """
    try:
        expunge(store, key)
    except HarnessError:
        return hide(store, key)
    return True


def hide(store: ObjectStore, key: str) -> bool:
    """Delete an object and none of its older versions; return whether the store keeps none. Raises HarnessError."""
    store.delete(key)
    return not isinstance(store, Versioned)


def all_below(store: ObjectStore, prefix: str) -> list[StoredObject]:
    """Return every object below a prefix, to be deleted. Raises HarnessError, also for what a listing passes over."""
    if isinstance(store, Closable):
        store.require_open(prefix)
    return list(store.list(prefix))


def remove(
    store: ObjectStore, layout: Layout, backup_id: str, erase: Callable[[ObjectStore, str], bool] = discard
) -> bool:
    """Delete everything of an uncommitted backup, the intent last, so that an interrupted deletion can be repeated.

    `erase`: deletes one object. Return whether nothing is left, no version either. Raises HarnessError of the store.
    """
    store.abandon(layout.data(backup_id))
    gone = True
    for prefix in layout.whole(backup_id):
        for entry in all_below(store, prefix):
            gone = erase(store, entry.key) and gone
    return erase(store, layout.intent(backup_id)) and gone
