"""Deletion that leaves no older version."""

from harness.core.errors import HarnessError
from harness.repository.store.port import ObjectStore, Versioned


def expunge(store: ObjectStore, key: str) -> None:
    """Delete an object, with its older versions where the store keeps them. Raises HarnessError."""
    if isinstance(store, Versioned):
        store.expunge(key)
    else:
        store.delete(key)


def discard(store: ObjectStore, key: str) -> None:
    """Delete an object, with its older versions where the writer may delete these and no lock keeps them.

    For what is replaced often: otherwise each version of it stays and is paid for. Raises HarnessError when the object
    itself cannot be deleted.
    """
    try:
        expunge(store, key)
    except HarnessError:
        store.delete(key)
