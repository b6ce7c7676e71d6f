"""The ways to hurt a stored backup, by the word that the features use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.repository.layout import Layout
from harness.repository.store import ObjectStore, StoredObject


def _objects(store: ObjectStore, estate: str, backup_id: str) -> list[StoredObject]:
    """Return the sealed objects, largest first."""
    return sorted(store.list(f"{estate}/data/{backup_id}/"), key=lambda e: e.size, reverse=True)


def _rewrite(store: ObjectStore, key: str, change: Callable[[bytes], bytes]) -> str:
    store.put(key, [change(b"".join(store.get(key)))])
    return key


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def flip_a_bit(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Flip one bit in the middle of the largest object; return its key."""
    return _rewrite(store, _objects(store, estate, backup_id)[0].key, _flip)


def remove_an_object(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Remove the largest object; return its key."""
    key = _objects(store, estate, backup_id)[0].key
    store.delete(key)
    return key


def cut_off(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Cut the largest object at half its length; return its key."""
    return _rewrite(store, _objects(store, estate, backup_id)[0].key, lambda data: data[: len(data) // 2])


def edit_manifest(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Change one digit of a row count; return the manifest's key."""
    return _rewrite(store, Layout(estate, backup_id).manifest, lambda data: data.replace(b'"rows":', b'"rows":1', 1))


def swap_two(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Put each of the two largest objects in the place of the other; return the first one's key."""
    first, second = _objects(store, estate, backup_id)[:2]
    one, two = b"".join(store.get(first.key)), b"".join(store.get(second.key))
    store.put(first.key, [two])
    store.put(second.key, [one])
    return first.key


DAMAGE: Mapping[str, Callable[[ObjectStore, str, str], str]] = {
    "a flipped bit": flip_a_bit,
    "a missing object": remove_an_object,
    "a cut-off object": cut_off,
    "an edited manifest": edit_manifest,
    "two objects swapped": swap_two,
}
