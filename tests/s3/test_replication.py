from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.s3.client import client, ensure_bucket
from harness.s3.replication import Replicator, copy_task, missing
from tests.s3.conftest import Launch
from tests.servers import Store

pytestmark = pytest.mark.programs


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def replicator(primary: Store, dr: Store, journal: MemoryJournal) -> Iterator[Replicator]:
    for store in (primary, dr):
        ensure_bucket(store.s3, "notifications")
    made = Replicator(dr.site, primary.s3, dr.s3, ("notifications",), journal)
    yield made
    made.stop()


def until(replicator: Replicator, rounds: int) -> None:
    def enough() -> None:
        if replicator.rounds < rounds:
            raise NotYet(replicator.last_error or f"{replicator.rounds} rounds")

    wait_until(enough, patience=30)


def test_objects_are_replicated_and_missing_ones_are_named(
    primary: Store, dr: Store, replicator: Replicator, journal: MemoryJournal
) -> None:
    large = os.urandom(6 * 1024 * 1024)
    primary.put("notifications", "deep/er/large", large)
    replicator.start()
    until(replicator, 1)
    assert dr.get("notifications", "deep/er/large") == large
    primary.put("notifications", "later ü", b"later")
    before = SYSTEM.monotonic()
    until(replicator, replicator.rounds + 2)
    assert dr.get("notifications", "later ü") == b"later"
    assert replicator.last_success is not None
    assert replicator.last_success > before
    assert replicator.stop() == replicator.last_success
    rounds = replicator.rounds
    primary.put("notifications", "too late", b"lost")
    wanted = ["too late", "deep/er/large", "never was", "later ü"]
    assert missing(dr.s3, "notifications", wanted) == ("never was", "too late")
    assert missing(dr.s3, "notifications", []) == ()
    assert replicator.rounds == rounds
    assert [event.subject for event in journal.events] == ["replication works"]


def test_a_changed_object_of_the_same_size_is_copied(primary: Store, dr: Store, replicator: Replicator) -> None:
    primary.put("notifications", "changed", b"one")
    replicator.start()
    until(replicator, 1)
    primary.put("notifications", "changed", b"two")
    until(replicator, replicator.rounds + 2)
    assert dr.get("notifications", "changed") == b"two"


def test_an_object_deleted_at_the_source_is_kept_at_dr(primary: Store, dr: Store, replicator: Replicator) -> None:
    primary.put("notifications", "dear", b"dear")
    replicator.start()
    until(replicator, 1)
    client(primary.s3).remove_object("notifications", "dear")
    until(replicator, replicator.rounds + 2)
    assert dr.get("notifications", "dear") == b"dear"


def test_a_dead_source_is_journalled_once_and_stop_is_quick(dr: Store, launch: Launch, journal: MemoryJournal) -> None:
    source = launch("dying")
    for store in (source, dr):
        ensure_bucket(store.s3, "mortal")
    replicator = Replicator(dr.site, source.s3, dr.s3, ("mortal",), journal)
    replicator.start()
    until(replicator, 1)
    source.node.kill()

    def failed() -> None:
        if not replicator.last_error:
            raise NotYet("no failure yet")

    wait_until(failed, patience=30)
    began = SYSTEM.monotonic()
    replicator.stop()
    assert SYSTEM.monotonic() - began < 15
    assert [event.subject for event in journal.events] == ["replication works", "replication failed"]
    assert "mortal" in str(journal.events[-1].facts["error"])
    source.site.destroy()


def test_the_keys_are_not_in_arguments_or_environment(primary: Store, dr: Store) -> None:
    task = copy_task(primary.s3, dr.s3, "notifications")
    assert "@{secret:" not in " ".join(task.argv)
    assert "-s3-secret" not in " ".join(task.argv)
    assert dict(task.env) == {}


def test_missing_objects_of_a_dead_store_raise_an_error(launch: Launch) -> None:
    store = launch("silent")
    store.node.kill()
    with pytest.raises(HarnessError, match=r"bucket mortal at .* cannot be listed"):
        missing(store.s3, "mortal", ["key"])
    store.site.destroy()
