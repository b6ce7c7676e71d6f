"""The exposure counts backups that were opened, and no others: R7."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from harness.core.clock import SYSTEM, Clock
from harness.recovery.exposure import measure_exposure
from harness.repository.catalogue import PERIOD, Repository
from tests.memory_estate import TAG
from tests.repository.failing_store import FailingStore
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up, contents

SNAPSHOT = contents().snapshot_at


@pytest.fixture
def recipients() -> Recipients:
    return Recipients()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def repository(store: MemoryStore, recipients: Recipients) -> Repository:
    """A repository shortly after the snapshot of its example backups."""
    clock = Clock(SYSTEM.monotonic, lambda: SNAPSHOT + timedelta(minutes=10), SYSTEM.sleep)
    return recipients.repository(store, TAG, clock)


def later(seconds: float) -> datetime:
    return SNAPSHOT + timedelta(seconds=seconds)


def test_without_a_backup_there_is_no_exposure_to_state(repository: Repository, recipients: Recipients) -> None:
    exposed = measure_exposure(repository, recipients.dr[0], later(60))
    assert (exposed.seconds, exposed.unopened) == (None, ())


def test_snapshots_are_compared_and_not_commits(repository: Repository, recipients: Recipients) -> None:
    back_up(repository, recipients)
    assert measure_exposure(repository, recipients.dr[0], later(60)).seconds == 60


@pytest.mark.parametrize(
    ("lost", "opened"), [("data", False), ("manifest", False), ("keys", False), ("data", True), ("commit", True)]
)
def test_a_backup_without_its_objects_does_not_count(
    store: MemoryStore, repository: Repository, recipients: Recipients, lost: str, opened: bool
) -> None:
    receipt = back_up(repository, recipients)
    if opened:
        repository.latest_valid(recipients.dr[0])
    for entry in list(store.list(f"{TAG}/{lost}/")):
        store.delete(entry.key)
    exposed = measure_exposure(repository, recipients.dr[0], later(60))
    assert exposed.seconds is None
    assert lost == "commit" or receipt.backup_id in exposed.unopened[0]


def test_a_made_up_commit_does_not_count(store: MemoryStore, repository: Repository, recipients: Recipients) -> None:
    back_up(recipients.repository(store, TAG), Recipients())  # another writer, the same recipients or not
    exposed = measure_exposure(repository, recipients.dr[0], later(60))
    assert exposed.seconds is None
    assert "not trusted here" in exposed.unopened[0]


def test_each_backup_is_opened_once_a_period(recipients: Recipients) -> None:
    store = FailingStore(at=-1)
    now = [later(600)]
    repository = recipients.repository(store, TAG, Clock(SYSTEM.monotonic, lambda: now[0], SYSTEM.sleep))
    back_up(repository, recipients)

    def reads() -> int:
        store.calls.clear()
        assert measure_exposure(repository, recipients.dr[0], later(60)).seconds == 60
        return sum("/data/" in call for call in store.calls if call.startswith("get"))

    assert reads() > 0
    assert reads() == 0
    now[0] += PERIOD + timedelta(seconds=1)
    assert reads() > 0
