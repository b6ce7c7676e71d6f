"""In a bucket that keeps versions, the tails of a WAL receiver leave none: one every few seconds would be paid for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.core.errors import HarnessError
from harness.repository.store.expunge import discard
from harness.repository.store.s3 import S3Store
from harness.repository.upkeep.wal import reap_wal
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.writer import begin_wal
from harness.s3.client import ensure_bucket
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Launch, Recipients, connect

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


class Refusing(MemoryStore):
    """A store whose writer may delete an object, and no version of it."""

    def expunge(self, key: str) -> None:
        raise HarnessError(f"{key}: versions cannot be deleted")


def test_a_writer_that_may_delete_no_version_deletes_the_object(recipients: Recipients) -> None:
    store = Refusing()
    store.put("tail", (b"x",))
    discard(store, "tail")
    assert list(store.list("")) == []
