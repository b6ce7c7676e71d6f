"""Faults of stored backups that an attacker with write access to the bucket and without a key can inject."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.core.wal import SEGMENT as SEGMENT_NAME
from harness.estate.secrets import PRIVATE_KEY, RECIPIENTS
from harness.repository.format.layout import Layout, new_id
from harness.repository.format.manifest import canonical
from harness.repository.format.recipients import new_pair
from harness.repository.format.seal import SEGMENT
from harness.repository.store.port import ObjectStore, StoredObject
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.faults.observers import stored_objects
from harness.signing import new_signing_pair
from harness.vault import read_secret

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
    """Change one byte of the sealed manifest; return `manifest`."""
    key = Layout(estate).manifest(backup_id)
    text = bytearray(b"".join(store.get(key)))
    text[-1] ^= 1
    store.put(key, (bytes(text),))
    return "manifest"


def edit_commit(store: ObjectStore, estate: str, backup_id: str) -> str:
    """Change a size in COMMIT, without the writer's key; return `signature`."""
    key = Layout(estate).commit(backup_id)
    envelope = json.loads(b"".join(store.get(key)))
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["plain_size"] += 1
    envelope["payload"] = base64.b64encode(canonical(payload)).decode()
    store.put(key, (canonical(envelope),))
    return "signature"


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


def forge(scene: Scene) -> None:
    """Write a complete backup, dated 2099, as an attacker can who may write to the bucket and has the public keys.

    It is sealed to the right recipients and signed with a key of his own. Raises HarnessError of the store.
    """
    repository, secrets = scene.backups.repository, scene.environment.secrets
    newest = repository.open(repository.committed()[0], read_secret(secrets.of("dr")[PRIVATE_KEY])).manifest
    forged = replace(repository, clock=AHEAD, witnesses=())
    recipients = [read_secret(reference) for reference in secrets.recipients]
    writer = forged.begin(newest.cluster, recipients, new_signing_pair()[0])
    for entry in newest.objects:
        writer.add(entry.path, (b"\\! touch forged",))
    writer.commit(newest.contents)


def litter(scene: Scene) -> None:
    """Put COMMITs into the repository that are no text, empty, very large, and of no backup."""
    repository = scene.backups.repository
    for body in LITTER:
        repository.store.put(repository.layout.commit(new_id(AHEAD)), (body,))


def delete_newest(scene: Scene) -> None:
    """Delete the COMMIT of the newest backup, so that an older one is the newest that is listed."""
    repository = scene.backups.repository
    repository.store.delete(repository.layout.commit(repository.committed()[0].backup_id))


def lose_segment(scene: Scene) -> None:
    """Delete the newest whole segment of WAL, which the newest base backup needs. Raises HarnessError without one."""
    repository = scene.backups.repository
    keys = [entry.key for entry in repository.store.list(repository.layout.of("wal"))]
    whole = sorted((key.rsplit("/", 1)[1], key) for key in keys if SEGMENT_NAME.fullmatch(key.rsplit("/", 1)[1]))
    if not whole:
        raise HarnessError("no whole segment of WAL is in the repository; take a base backup first")
    repository.store.delete(whole[-1][1])


def encrypt_newer(scene: Scene) -> None:
    """Overwrite all that was stored after the first backup, with its base backup, by what nobody can read.

    Raises HarnessError where nothing was.
    """
    store, layout = scene.backups.repository.store, scene.backups.repository.layout
    entries = scene.backups.repository.committed()
    first = {entry.physical: entry.backup_id for entry in entries}.values()  # the oldest of each kind
    newer = {entry.backup_id for entry in entries}.difference(first)
    stored = tuple(store.list(""))
    commits = {layout.commit(backup_id) for backup_id in first}
    since = max(one.modified for one in stored if one.key in commits)
    wal = tuple(map(layout.of, ("wal", "wal-batch", "wal-tail")))
    taken = [one for one in stored if one.modified > since and one.key.startswith(wal)]
    taken += [one for one in stored if any(name in one.key for name in newer)]
    if not newer:
        raise HarnessError("only one backup is in the repository; take a newer one first")
    for one in taken:
        store.put(one.key, (os.urandom(one.size),))


AHEAD = replace(SYSTEM, wall=lambda: datetime(2099, 1, 1, tzinfo=UTC))
LITTER = (
    b"\xff\xfe\x00",
    b"",
    b"[" * 100_000,
    b'{"payload":"","payloadType":"\\ud800","signatures":[]}',
    '{"format":"blackstart-backup/1","manifest_hmac":"ü"}'.encode(),
    bytes(8 << 20),
)
BACKUP, REPOSITORY = "the newest backup", "the repository"
DAMAGES: Mapping[str, Damage] = {
    "a flipped bit": flip_bit,
    "a missing object": remove_object,
    "a truncated object": cut_off,
    "an edited manifest": edit_manifest,
    "an edited COMMIT": edit_commit,
    "two swapped objects": swap_objects,
}
FAULTS = (
    *(
        Fault(phrase, When.NOW, partial(newest, damage=damage), None, stored_objects, target=BACKUP)
        for phrase, damage in DAMAGES.items()
    ),
    Fault("a forged backup of the year 2099", When.NOW, forge, None, stored_objects, target=REPOSITORY),
    Fault("objects that are no backups", When.NOW, litter, None, stored_objects, target=REPOSITORY),
    Fault("a deleted newest backup", When.NOW, delete_newest, None, stored_objects, target=REPOSITORY),
    Fault("ransom: all that is newer is encrypted", When.NOW, encrypt_newer, None, stored_objects, target=REPOSITORY),
    Fault("a missing segment of WAL", When.NOW, lose_segment, None, stored_objects, target=REPOSITORY),
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
