"""Faults of stored backups that an attacker with write access to the bucket and without a key can inject."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from harness.core.errors import HarnessError
from harness.estate.secrets import RECIPIENTS
from harness.repository.format.layout import Layout
from harness.repository.format.manifest import canonical
from harness.repository.format.recipients import new_pair
from harness.repository.format.seal import SEGMENT
from harness.repository.store.port import ObjectStore, StoredObject
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.faults.observers import stored_objects

Damage = Callable[[ObjectStore, str, str], str]


def flip_bit(store: ObjectStore, estate: str, backup_id: str, where: float = 0.5) -> str:
    """Flip one bit of the largest object at the fraction `where` of its size; return its path."""
    victim = _largest(store, estate, backup_id)[0]
    target = int(where * (victim.size - 1))

    def flipped() -> Iterator[bytes]:
        position = 0
        for chunk in store.get(victim.key):
            if position <= target < position + len(chunk):
                at = target - position
                yield chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]
            else:
                yield chunk
            position += len(chunk)

    store.put(victim.key, flipped())
    return _path(victim, estate, backup_id)


def remove_object(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Delete the largest object; return its path."""
    victim = _largest(store, estate, backup_id)[0]
    store.delete(victim.key)
    return _path(victim, estate, backup_id)


def cut_off(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Truncate the largest object, at a segment boundary if it has several segments; return its path."""
    victim = _largest(store, estate, backup_id)[0]
    keep = (victim.size - 1) // SEGMENT * SEGMENT or victim.size // 2
    store.put(victim.key, store.get(victim.key, 0, keep))
    return _path(victim, estate, backup_id)


def edit_manifest(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Increase the row counts in the manifest and update its digest in COMMIT; return `manifest`."""
    layout = Layout(estate)
    manifest = json.loads(b"".join(store.get(layout.manifest(backup_id))))
    for database in manifest["contents"]["databases"]:
        for table in database["tables"]:
            table["rows"] += 1
    manifest["contents"]["system"]["version"] += " edited"
    text = canonical(manifest)
    commit = json.loads(b"".join(store.get(layout.commit(backup_id))))
    commit["manifest_sha256"] = hashlib.sha256(text).hexdigest()
    store.put(layout.manifest(backup_id), (text,))
    store.put(layout.commit(backup_id), (canonical(commit),))
    return "manifest"


def swap_objects(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Swap the two largest objects; return the path of one."""
    first, second = _largest(store, estate, backup_id, 2)
    aside = f"{first.key}.aside"
    for target, source in ((aside, first.key), (first.key, second.key), (second.key, aside)):
        store.put(target, store.get(source))
    store.delete(aside)
    return min(_path(first, estate, backup_id), _path(second, estate, backup_id))


def _largest(store: ObjectStore, estate: str, backup_id: str, count: int = 1) -> list[StoredObject]:
    found = sorted(store.list(Layout(estate).data(backup_id)), key=lambda entry: (-entry.size, entry.key))
    if len(found) < count:
        raise HarnessError(f"backup {backup_id}: {len(found)} objects, but this fault needs {count}")
    return found[:count]


def _path(entry: StoredObject, estate: str, backup_id: str) -> str:
    return entry.key.removeprefix(Layout(estate).data(backup_id))


def newest(scene: Scene, damage: Damage) -> None:
    """Damage the newest backup in the repository of the scenario."""
    repository = scene.backups.repository
    damage(repository.store, repository.estate, repository.committed()[0].backup_id)


def only_damaged(scene: Scene) -> None:
    """Take a single backup and damage it."""
    scene.drill.back_up()
    newest(scene, flip_bit)


def sealed_to_others(scene: Scene) -> None:
    """Take a backup that is not sealed to the key of the DR site."""
    _private, public = new_pair()
    scene.environment.secrets.put("primary", RECIPIENTS[0], public)
    scene.drill.back_up()


BACKUP, REPOSITORY = "the newest backup", "the repository"
DAMAGES: Mapping[str, Damage] = {
    "a flipped bit": flip_bit,
    "a missing object": remove_object,
    "a truncated object": cut_off,
    "an edited manifest": edit_manifest,
    "two swapped objects": swap_objects,
}
FAULTS = (
    *(
        Fault(phrase, When.NOW, partial(newest, damage=damage), None, stored_objects, target=BACKUP)
        for phrase, damage in DAMAGES.items()
    ),
    Fault("a single backup that is damaged", When.NOW, only_damaged, None, stored_objects, target=REPOSITORY),
    Fault(
        "a single backup that is sealed to other keys",
        When.NOW,
        sealed_to_others,
        None,
        stored_objects,
        target=REPOSITORY,
    ),
)
