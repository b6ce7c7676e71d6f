"""A running shipper tells the witness its newest batch, so that a deletion of the newest batches is noticed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError
from harness.physical.shipper import TOLD, Part, Shipper
from harness.repository.catalogue import Repository
from harness.repository.chain import Head
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import missing_lists, wal_findings
from harness.repository.wal.heads import head_of, known_heads
from harness.repository.wal.writer import begin_wal
from harness.repository.witness import FileWitness, MemoryWitness, Seen, StoreWitness, Witness
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients

SIZE = 1 << 20
SEEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(slots=True)
class Counting(MemoryWitness):
    """A witness that counts what it is told, and may fail."""

    told: list[int] = field(default_factory=list)
    fails: bool = False

    def write(self, estate: str, seen: Seen) -> None:
        if self.fails:
            raise HarnessError("witness: cannot be written")
        self.told.append(seen.wal["7391"].sequence)
        self.known[estate] = seen


@dataclass(slots=True)
class Shipping:
    """A shipper whose clock stands still between `ship` and `ship`."""

    repository: Repository
    witness: Counting
    shipper: Shipper
    move: Callable[[float], None]
    number: int = 0

    def ship(self, seconds: float = 0.0) -> None:
        self.move(seconds)
        self.shipper._ship([Part(1, self.number * SIZE, bytes(SIZE), True, SEEN)])
        self.number += 1


@pytest.fixture
def shipping(recipients: Recipients) -> Shipping:
    now, witness = [0.0], Counting()
    clock = Clock(lambda: now[0], SYSTEM.wall, SYSTEM.sleep)
    repository = replace(recipients.repository(MemoryStore(), clock=clock), witnesses=(witness,))
    writer = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)

    def move(seconds: float) -> None:
        now[0] += seconds

    return Shipping(repository, witness, Shipper(writer), move)


def test_the_witness_is_told_at_most_once_a_minute(shipping: Shipping) -> None:
    for seconds in (0, 1, 1, TOLD, 1):
        shipping.ship(seconds)
    assert shipping.witness.told == [1, 4]
    shipping.move(TOLD)
    shipping.shipper._ship([Part(1, 5 * SIZE, b"begun", False, SEEN)])
    assert shipping.witness.told == [1, 4, 5]


def test_deletion_of_the_newest_batch_is_noticed_while_the_receiver_runs(shipping: Shipping) -> None:
    shipping.ship()
    shipping.ship(TOLD)
    newest = [one.key for one in shipping.repository.store.list(shipping.repository.layout.of("wal-batch"))][-1]
    shipping.repository.store.delete(newest)
    (found,) = wal_findings(shipping.repository, read_wal(shipping.repository))
    assert "batch 2 of WAL" in found
    assert "which was seen before" in found


def test_a_witness_that_fails_does_not_stop_shipping(shipping: Shipping) -> None:
    shipping.witness.fails = True
    shipping.ship()
    shipping.witness.fails = False
    shipping.ship(TOLD)
    assert shipping.witness.told == [2]
    assert read_wal(shipping.repository).lacking(1, 0, 2 * SIZE) == ""


def test_writers_of_one_file_lose_nothing_of_each_other(tmp_path: Path) -> None:
    witness = FileWitness(tmp_path / "witness.json")

    def tell(name: str) -> None:
        for number in range(1, 30):
            witness.write(name, Seen(Head(number, name, "0" * 64)))

    names = [f"estate{number}" for number in range(4)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(tell, names))
    assert [witness.read(name).head for name in names] == [Head(29, name, "0" * 64) for name in names]


@pytest.mark.attacks("R4")
@pytest.mark.parametrize("kind", ["file", "store", "memory"])
def test_who_read_a_witness_before_another_wrote_takes_nothing_back(tmp_path: Path, kind: str) -> None:
    """Else the newest backup could be deleted unnoticed."""
    stores: dict[str, Witness] = {
        "file": FileWitness(tmp_path / "witness.json"),
        "store": StoreWitness(MemoryStore()),
        "memory": MemoryWitness(),
    }
    witness, early, late = stores[kind], datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    heads = [Head(number, f"backup {number}", f"{number}" * 64) for number in range(4)]
    witness.write("shop", Seen(heads[1], {"a": late}, {"7": heads[1], "8": heads[1]}))
    witness.write("shop", Seen(heads[3], wal={"7": heads[2], "8": heads[3]}))
    witness.write("shop", Seen(heads[2], {"b": early}, {"8": heads[2]}))
    assert witness.read("shop") == Seen(heads[3], {"a": late, "b": early}, {"7": heads[2], "8": heads[3]})
    witness.write("shop", Seen(opened={"a": early}))  # the clock was ahead when it was opened before
    assert witness.read("shop").opened == {"a": early, "b": early}


def test_a_batch_that_an_earlier_version_noted_for_the_estate_is_still_missed(recipients: Recipients) -> None:
    repository = recipients.repository(MemoryStore())
    made = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)
    for number in range(2):
        made.commit([made.put(1, number * SIZE, bytes(SIZE))], SEEN)
    head = head_of(read_wal(repository))
    repository.witnesses[0].write("shop/wal", Seen(head))
    anew = begin_wal(repository, "42", SIZE, recipients.public, recipients.writer[0], None)
    anew.commit([anew.put(1, 0, bytes(SIZE))], SEEN)
    assert missing_lists(read_wal(repository, "42"), known_heads(repository)) == ()
    assert head is not None
    repository.store.delete(repository.layout.wal_list(head.sequence, head.backup_id))
    (line,) = missing_lists(read_wal(repository, "7391"), known_heads(repository))
    assert "batch 2 of WAL" in line
