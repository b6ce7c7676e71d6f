"""In a bucket that keeps versions, what is replaced, reaped or taken from a recipient leaves none, or it is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from harness.core.errors import HarnessError
from harness.pem import fingerprint
from harness.repository.format.recipients import new_pair, read_public
from harness.repository.store.expunge import discard
from harness.repository.store.port import ObjectStore
from harness.repository.store.s3 import S3Store
from harness.repository.upkeep.reaper import reap
from harness.repository.upkeep.rewrap import Rewrap, rewrap
from harness.repository.upkeep.wal import reap_wal
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.writer import begin_wal
from harness.s3.client import ensure_bucket
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Launch, Recipients, back_up, connect

SIZE = 1 << 20
SEEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.programs
def test_a_replaced_tail_leaves_no_version(launch: Launch, recipients: Recipients) -> None:
    server = launch("versions")
    ensure_bucket(server.s3, "tails")
    store = connect(server, "tails")
    assert isinstance(store, S3Store)
    repository = recipients.repository(store)
    made = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)
    for size in (10, 20, 30):
        made.show([made.put(1, 0, bytes(size))], SEEN)
    made.commit([made.put(1, 0, bytes(SIZE))], SEEN)
    assert read_wal(repository).lacking(1, 0, SIZE) == ""
    versions = list(store._client.list_objects("tails", "shop/", recursive=True, include_version=True))
    there = [entry.key for entry in store.list("shop/")]
    assert sorted(str(entry.object_name) for entry in versions) == there
    assert not [key for key in there if "wal-tail" in key or "partial" in key]


@pytest.mark.programs
def test_what_is_reaped_leaves_no_version(launch: Launch, recipients: Recipients) -> None:
    server = launch("reaped")
    ensure_bucket(server.s3, "reaped")
    store = connect(server, "reaped")
    assert isinstance(store, S3Store)
    repository = recipients.repository(store)
    killed = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)
    killed.show([killed.put(1, 0, b"begun")], SEEN)
    after = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)
    after.commit([after.put(1, 0, b"begun".ljust(SIZE, b"w"))], SEEN)
    assert len(reap_wal(repository, -5.0)) == 4  # the store knows whole seconds only
    versions = list(store._client.list_objects("reaped", "shop/", recursive=True, include_version=True))
    assert not [entry.object_name for entry in versions if killed.run in str(entry.object_name)]


def versions(store: ObjectStore, prefix: str) -> list[str]:
    assert isinstance(store, S3Store)
    return [one.key for one in store.versions(prefix)]


@pytest.mark.programs
def test_a_removed_recipient_finds_no_version_of_the_key_that_was_wrapped_for_him(
    launch: Launch, recipients: Recipients
) -> None:
    server = launch("rewrapped")
    ensure_bucket(server.s3, "rewrapped")
    repository = recipients.repository(connect(server, "rewrapped"))
    for number in range(2):
        back_up(repository, recipients)
        change = Rewrap((new_pair()[1],), (gone := fingerprint(read_public(recipients.escrow[1])),))
        entry = repository.committed()[0]
        key = repository.layout.keys(entry.backup_id, gone)
        if number:  # as one does whose keys may delete no version
            repository = replace(repository, store=Refusing(repository.store))
        done = rewrap(repository, entry, recipients.dr[0], change)
        assert (done.removed, done.staying) == ((gone,), (key,) * number)
        assert bool(versions(connect(server, "rewrapped"), key)) == bool(number)


@pytest.mark.programs
def test_a_reaped_backup_leaves_no_version_and_a_committed_one_no_intent(
    launch: Launch, recipients: Recipients
) -> None:
    server = launch("left")
    ensure_bucket(server.s3, "left")
    repository = recipients.repository(connect(server, "left"))
    back_up(repository, recipients)
    for cut in (False, True):
        killed = recipients.begin(repository)
        killed.add("globals", (b"x",))
        found = reap(replace(repository, store=Refusing(repository.store)) if cut else repository, -5.0)
        assert found.removed == (killed.backup_id,)
        assert (killed.backup_id in found.note) == cut
        assert any(killed.backup_id in key for key in versions(repository.store, "shop/")) == cut
        assert not [one for one in repository.store.list("shop/") if killed.backup_id in one.key]
    aborted = recipients.begin(repository)
    aborted.add("globals", (b"x",))
    aborted.abort()
    assert not [key for key in versions(repository.store, "shop/") if aborted.backup_id in key]
    (committed,) = repository.committed()
    assert not [key for key in versions(repository.store, "shop/intent/") if committed.backup_id in key]


class Refusing:
    """A store whose client may delete an object, and no version of it."""

    def __init__(self, store: ObjectStore) -> None:
        self.put, self.get, self.list, self.delete = store.put, store.get, store.list, store.delete
        self.abandon = store.abandon

    def expunge(self, key: str) -> None:
        raise HarnessError(f"{key}: versions cannot be deleted")


def test_a_writer_that_may_delete_no_version_deletes_the_object() -> None:
    store = Refusing(MemoryStore())
    store.put("tail", (b"x",))
    assert not discard(store, "tail")
    assert list(store.list("")) == []
