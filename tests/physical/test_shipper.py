"""What a shipper is handed at once is listed so that it can expire."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.core.errors import Unreadable
from harness.core.wal import Switch
from harness.physical.shipper import History, Part, Shipper
from harness.repository.wal.catalogue import Shipped, read_wal
from harness.repository.wal.reader import WalReader
from harness.repository.wal.writer import begin_wal
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients

SIZE = 1 << 20
SEEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_history_is_in_a_batch_of_its_own(recipients: Recipients) -> None:
    repository = recipients.repository(MemoryStore())
    writer = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)
    history = History("00000002.history", 2, b"1\t0/100000\tpromoted\n", (Switch(1, SIZE),))
    parts = [
        Part(timeline, number * SIZE, bytes(SIZE), whole=True, covered_until=SEEN)
        for number, timeline in ((0, 1), (1, 2), (2, 2))
    ]
    shipper = Shipper(writer)
    shipper._ship([parts[0], history, *parts[1:]])
    lists = read_wal(repository).lists
    names = [[entry.name for entry in one.entries] for one in lists]
    assert names == [
        ["000000010000000000000000"],
        ["00000002.history"],
        ["000000020000000000000001", "000000020000000000000002"],
    ]
    assert [one.covered_until for one in lists] == [SEEN, None, SEEN]
    assert shipper.shipped == 3 * SIZE


@pytest.mark.parametrize(("size", "waiting"), [(16 << 20, 3), (64 << 20, 1), (1 << 30, 1)])
def test_large_segments_do_not_wait_in_memory(recipients: Recipients, size: int, waiting: int) -> None:
    repository = recipients.repository(MemoryStore())
    shipper = Shipper(begin_wal(repository, "7391", size, recipients.public, recipients.writer[0], None))
    parts = [Part(1, number * size, b"", whole=True, covered_until=SEEN) for number in range(waiting + 1)]
    assert [shipper.offer(part) for part in parts] == [True] * waiting + [False]
    assert shipper._taken() == parts[:waiting]


def test_a_tail_that_was_replaced_after_the_catalogue_was_read_is_read_as_it_is_by_now(recipients: Recipients) -> None:
    """A restore beside a running primary failed: what the receiver had shipped last was gone before it was fetched."""
    repository = recipients.repository(MemoryStore())
    shipper = Shipper(begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None))
    content = bytes(range(256)) * (SIZE // 256)
    seen, reader = list[Shipped](), WalReader(repository, recipients.dr[0])
    for end in (100, 200, SIZE):
        shipper._ship([Part(1, 0, content[:end], whole=end == SIZE, covered_until=SEEN)])
        seen += read_wal(repository).segments[1, 0][:1]
        assert {reader.read(one) for one in seen} == {content[:end]}
    for one in list(repository.store.list(repository.layout.of("wal"))):
        if "/wal/0" in one.key:
            repository.store.delete(one.key)
    for shipped in seen:
        with pytest.raises(Unreadable, match="000000010000000000000000"):
            reader.read(shipped)
