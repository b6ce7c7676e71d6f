"""Every damaged stored backup is passed over with its reason, and the older valid one is selected."""

from __future__ import annotations

import re
import secrets

import pytest

from harness.core.errors import NoValidBackup, Unreadable
from harness.repository.catalogue import Repository
from harness.repository.store.port import ObjectStore
from harness.scenario.faults.stored_backup import DAMAGES, flip_bit
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up, keys_of

SMALL = {"globals": b"CREATE ROLE odoo;", "databases__shop": secrets.token_bytes(2_500_000)}  # three segments


@pytest.mark.parametrize("word", DAMAGES)
def test_a_damaged_backup_is_passed_over_and_the_reason_names_the_object(
    word: str, repository: Repository, store: ObjectStore, estate: str, recipients: Recipients
) -> None:
    older, newer = (back_up(repository, recipients, **SMALL) for _ in range(2))
    named = DAMAGES[word](store, estate, newer.backup_id)
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == older.backup_id
    ((backup_id, reason),) = chosen.passed_over
    assert backup_id == newer.backup_id
    assert re.search(rf"\b{re.escape(named)}\b", reason), (named, reason)
    assert "\n" not in reason
    assert len(repository.committed()) == 2


@pytest.mark.parametrize("word", DAMAGES)
def test_reading_a_damaged_object_raises_an_error(word: str, recipients: Recipients) -> None:
    store = MemoryStore()
    repository = recipients.repository(store)
    receipt = back_up(repository, recipients, **SMALL)
    DAMAGES[word](store, "shop", receipt.backup_id)
    with pytest.raises(NoValidBackup, match=receipt.backup_id):
        repository.latest_valid(recipients.escrow[0])

    def read_all() -> None:
        backup = repository.open(repository.committed()[0], recipients.dr[0])
        for entry in backup.manifest.objects:
            list(backup.read(entry.path))

    with pytest.raises(Unreadable, match=receipt.backup_id):
        read_all()


def test_a_missing_manifest_and_a_malformed_commit_are_detected(recipients: Recipients) -> None:
    store = MemoryStore()
    repository = recipients.repository(store)
    older, newer = (back_up(repository, recipients, **SMALL) for _ in range(2))
    store.delete(f"shop/manifest/{newer.backup_id}")
    store.put(older.path, (b"{}",))
    with pytest.raises(NoValidBackup, match=r"does not exist.*not a signed envelope"):
        repository.latest_valid(recipients.dr[0])


@pytest.mark.parametrize("kinds", [("commit",), ("manifest",), ("commit", "manifest", "keys")])
def test_a_backup_copied_over_another_is_refused(recipients: Recipients, kinds: tuple[str, ...]) -> None:
    store = MemoryStore()
    repository = recipients.repository(store)
    older, newer = (back_up(repository, recipients, **SMALL) for _ in range(2))
    for key in [key for key in keys_of(store, "shop") if older.backup_id in key and key.split("/")[1] in kinds]:
        store.put(key.replace(older.backup_id, newer.backup_id), store.get(key))
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == older.backup_id
    ((_, reason),) = chosen.passed_over
    assert re.search(f"belongs to backup {older.backup_id}|SHA-256 differs|larger than the limit", reason)


@pytest.mark.parametrize("where", [0.0, 0.001, 0.3, 0.999, 1.0])
def test_any_flipped_bit_is_detected(where: float, recipients: Recipients) -> None:
    store = MemoryStore()
    repository = recipients.repository(store)
    receipt = back_up(repository, recipients)
    named = flip_bit(store, "shop", receipt.backup_id, where)
    with pytest.raises(NoValidBackup, match=f"object {named}: segment"):
        repository.latest_valid(recipients.dr[0])
