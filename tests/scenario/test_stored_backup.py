"""Every damaged stored backup is passed over with its reason, and the older valid one is selected."""

from __future__ import annotations

import hashlib
import json
import re
import secrets

import pytest

from harness.core.errors import NoValidBackup, Unreadable
from harness.repository.catalogue import Repository
from harness.repository.format.manifest import canonical
from harness.repository.store.port import ObjectStore
from harness.scenario.faults.stored_backup import DAMAGES, flip_bit
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up

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
    repository = Repository(store, "shop")
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


def test_an_edited_manifest_with_an_updated_digest_is_refused_by_the_hmac(recipients: Recipients) -> None:
    store = MemoryStore()
    repository = Repository(store, "shop")
    receipt = back_up(repository, recipients, **SMALL)
    DAMAGES["an edited manifest"](store, "shop", receipt.backup_id)
    (entry,) = repository.committed()
    assert entry.damaged is None  # valid without a key
    with pytest.raises(Unreadable, match=r"manifest was altered after COMMIT \(its HMAC differs\)"):
        repository.open(entry, recipients.dr[0])


def test_an_edited_manifest_is_detected_without_a_key(recipients: Recipients) -> None:
    store = MemoryStore()
    repository = Repository(store, "shop")
    receipt = back_up(repository, recipients, **SMALL)
    key = f"shop/manifest/{receipt.backup_id}.json"
    store.put(key, (b"".join(store.get(key)).replace(b"7391", b"7392"),))
    (entry,) = repository.committed()
    assert entry.damaged is not None
    assert "SHA-256 differs from the one in COMMIT" in entry.damaged
    with pytest.raises(Unreadable, match=receipt.backup_id):
        _ = entry.manifest


def test_a_missing_manifest_and_a_malformed_commit_are_detected(recipients: Recipients) -> None:
    store = MemoryStore()
    repository = Repository(store, "shop")
    older, newer = (back_up(repository, recipients, **SMALL) for _ in range(2))
    store.delete(f"shop/manifest/{newer.backup_id}.json")
    store.put(older.path, (b"{}",))
    reasons = {entry.backup_id: entry.damaged for entry in repository.committed()}
    assert "does not exist" in str(reasons[newer.backup_id])
    assert "COMMIT: malformed" in str(reasons[older.backup_id])


def test_a_backup_copied_over_another_is_refused(recipients: Recipients) -> None:
    store = MemoryStore()
    repository = Repository(store, "shop")
    older, newer = (back_up(repository, recipients, **SMALL) for _ in range(2))
    for kind in ("manifest", "commit"):
        store.put(f"shop/{kind}/{newer.backup_id}.json", store.get(f"shop/{kind}/{older.backup_id}.json"))
    (first, _) = repository.committed()
    assert first.damaged is not None
    assert f"belongs to backup {older.backup_id}" in first.damaged


def test_a_completely_renamed_manifest_is_refused(recipients: Recipients) -> None:
    """An old backup is renamed everywhere, and its digest is updated."""
    store = MemoryStore()
    repository = Repository(store, "shop")
    older, newer = (back_up(repository, recipients, **SMALL) for _ in range(2))
    manifest = json.loads(b"".join(store.get(f"shop/manifest/{older.backup_id}.json")))
    commit = json.loads(b"".join(store.get(older.path)))
    text = canonical({**manifest, "backup_id": newer.backup_id})
    store.put(f"shop/manifest/{newer.backup_id}.json", (text,))
    digest = hashlib.sha256(text).hexdigest()
    store.put(newer.path, (canonical({**commit, "backup_id": newer.backup_id, "manifest_sha256": digest}),))
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == older.backup_id
    assert "does not open: altered, or of another backup" in chosen.passed_over[0][1]


@pytest.mark.parametrize("where", [0.0, 0.001, 0.3, 0.999, 1.0])
def test_any_flipped_bit_is_detected(where: float, recipients: Recipients) -> None:
    store = MemoryStore()
    repository = Repository(store, "shop")
    receipt = back_up(repository, recipients)
    named = flip_bit(store, "shop", receipt.backup_id, where)
    with pytest.raises(NoValidBackup, match=f"object {named}: segment"):
        repository.latest_valid(recipients.dr[0])
