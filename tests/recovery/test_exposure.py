"""The exposure counts valid backups alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.core.clock import SYSTEM, Clock
from harness.recovery.exposure import measure_exposure
from harness.repository.catalogue import Repository
from tests.memory_estate import TAG, MemoryEstate
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up


def test_without_a_backup_there_is_no_exposure_to_state() -> None:
    assert measure_exposure(Repository(MemoryStore(), TAG), (), SYSTEM.wall()) is None


def test_a_backup_that_was_passed_over_does_not_count(memory_estate: MemoryEstate) -> None:
    receipt = memory_estate.backed_up()
    until = SYSTEM.wall() + timedelta(seconds=100)
    assert measure_exposure(memory_estate.repository, (), until) == pytest.approx(100, abs=5)
    assert measure_exposure(memory_estate.repository, ((receipt.backup_id, "flipped"),), until) is None


def test_a_damaged_backup_does_not_count(memory_estate: MemoryEstate) -> None:
    receipt = memory_estate.backed_up()
    memory_estate.store.delete(f"{TAG}/manifest/{receipt.backup_id}.json")
    assert measure_exposure(memory_estate.repository, (), SYSTEM.wall()) is None


def test_snapshots_are_compared_and_not_commits() -> None:
    later = Clock(SYSTEM.monotonic, lambda: SYSTEM.wall() + timedelta(days=3), SYSTEM.sleep)
    repository = Repository(MemoryStore(), TAG, later)
    back_up(repository, Recipients())
    (backup,) = repository.committed()
    snapshot = backup.manifest.contents.snapshot_at
    assert measure_exposure(repository, (), snapshot + timedelta(seconds=60)) == 60
