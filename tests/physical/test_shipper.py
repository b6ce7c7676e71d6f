"""What a shipper is handed at once is listed so that it can expire."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.core.wal import Switch
from harness.physical.shipper import History, Part, Shipper
from harness.repository.wal.catalogue import read_wal
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
