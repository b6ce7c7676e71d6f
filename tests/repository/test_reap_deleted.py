"""What shippers left is removed although a batch that the witness knows expired; not while a batch was deleted."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.repository.upkeep.wal import reap_wal, remove_wal
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.heads import remember_wal
from harness.repository.wal.writer import begin_wal
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients

SIZE = 1 << 20
SEEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_what_was_left_is_removed_after_the_batch_that_the_witness_knows_expired(recipients: Recipients) -> None:
    repository = recipients.repository(MemoryStore())
    made = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)
    for number in range(3):
        made.commit([made.put(1, number * SIZE, bytes(SIZE))], SEEN)
        if number == 1:
            remember_wal(repository, read_wal(repository))
    killed = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], made.head)
    killed.put(1, 3 * SIZE, bytes(SIZE))
    assert len(list(remove_wal(repository, read_wal(repository).lists[:2]))) == 2
    removed = reap_wal(repository, 0.0)
    assert len(removed) == 3
    assert all(killed.run in key for key in removed)
    assert read_wal(repository).lacking(1, 2 * SIZE, 3 * SIZE) == ""


def test_files_of_a_batch_that_was_deleted_between_others_are_kept(recipients: Recipients) -> None:
    """Its list may come back from an older version of the object; its files would not."""
    repository = recipients.repository(MemoryStore())
    made = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)
    for number in range(3):
        made.commit([made.put(1, number * SIZE, bytes(SIZE))], SEEN)
    keys = [one.key for one in repository.store.list(repository.layout.of("wal-batch"))]
    repository.store.delete(keys[1])
    assert reap_wal(repository, 0.0) == ()
