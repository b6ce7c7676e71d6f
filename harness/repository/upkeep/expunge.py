"""Deletion that leaves no older version."""

from harness.repository.store.port import ObjectStore, Versioned


def expunge(store: ObjectStore, key: str) -> None:
    """Delete an object, with its older versions where the store keeps them. Raises HarnessError."""
    if isinstance(store, Versioned):
        store.expunge(key)
    else:
        store.delete(key)
