"""Damage to the shipped WAL is found from its signed lists alone. In memory, with small segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from harness.core.errors import Unreadable
from harness.core.wal import Switch, segment_name
from harness.repository.catalogue import Repository
from harness.repository.store.port import StoredObject
from harness.repository.wal.catalogue import KnownLists, Leg, missing_objects, read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.heads import remember_wal
from harness.repository.wal.reader import WalReader
from harness.repository.wal.writer import WalWriter, begin_wal
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients

SIZE = 1 << 20
SYSTEM = "7391"
SEEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def segment(number: int, mark: bytes = b"") -> bytes:
    return (mark or b"%d" % number).ljust(SIZE, b"w")


@pytest.fixture
def repository(recipients: Recipients) -> Repository:
    return recipients.repository(MemoryStore())


def writer(repository: Repository, keys: Recipients, system: str = SYSTEM) -> WalWriter:
    head = read_wal(repository, system).head
    return begin_wal(repository, system, SIZE, keys.public, keys.writer[0], head)


def ship(made: WalWriter, numbers: Sequence[int], timeline: int = 1, mark: bytes = b"") -> None:
    """Ship whole segments, each in a batch of its own."""
    for number in numbers:
        entry = made.put(timeline, number * SIZE, segment(number, mark))
        made.commit([entry], SEEN + timedelta(seconds=number))


def findings(repository: Repository) -> str:
    return "\n".join(wal_findings(repository, read_wal(repository, SYSTEM)))


def keys_below(repository: Repository, kind: str) -> Iterator[str]:
    yield from [entry.key for entry in repository.store.list(repository.layout.of(kind))]


def test_whole_wal_has_no_finding_and_opens(repository: Repository, recipients: Recipients) -> None:
    made = writer(repository, recipients)
    ship(made, range(3, 7))
    made.show([made.put(1, 7 * SIZE, b"begun")], SEEN + timedelta(seconds=9))
    catalogue = read_wal(repository)
    assert findings(repository) == ""
    assert catalogue.lacking(1, 3 * SIZE + 40, 7 * SIZE + 5) == ""
    assert "up to 0/700005" in catalogue.lacking(1, 3 * SIZE, 7 * SIZE + 6)
    assert catalogue.covered_until(1, 7 * SIZE + 5) == SEEN + timedelta(seconds=9)
    assert catalogue.covered_until(1, 7 * SIZE + 4) == SEEN + timedelta(seconds=6)
    end, files = catalogue.reach(Leg(1, 3 * SIZE + 40, None))
    assert end == 7 * SIZE + 5
    assert [WalReader(repository, recipients.dr[0]).read(one)[:5] for one in files][-2:] == [b"6wwww", b"begun"]
    with pytest.raises(Unreadable, match="does not open it"):
        WalReader(repository, Recipients().dr[0]).read(files[0])


def test_a_tail_is_replaced_by_the_next_list(repository: Repository, recipients: Recipients) -> None:
    made = writer(repository, recipients)
    for size in (10, 20):
        made.show([made.put(1, 0, bytes(size))], SEEN)
    assert len(list(keys_below(repository, "wal-tail"))) == 1
    made.commit([made.put(1, 0, bytes(SIZE))], SEEN)
    assert list(keys_below(repository, "wal-tail")) == []
    assert not [key for key in keys_below(repository, "wal") if "partial" in key]
    assert read_wal(repository).lacking(1, 0, SIZE) == ""


class Replacing(MemoryStore):
    """A store in which a receiver replaces its tail after every listing of tails, `times` times."""

    made: WalWriter
    times: int = 0

    def list(self, prefix: str) -> Iterator[StoredObject]:
        yield from super().list(prefix)
        if prefix.endswith("wal-tail/") and self.times:
            self.times -= 1
            self.made.show([self.made.put(1, 0, bytes(20 + self.times))], SEEN)


def test_a_tail_that_is_replaced_while_it_is_read_is_no_damage(recipients: Recipients) -> None:
    store = Replacing()
    repository = recipients.repository(store)
    store.made = writer(repository, recipients)
    store.made.show([store.made.put(1, 0, bytes(10))], SEEN)
    store.times = 1
    catalogue = read_wal(repository)
    assert catalogue.damaged == ()
    assert catalogue.lacking(1, 0, 20) == ""
    store.times = 99  # a list that is never there: it is named, and the reading ends
    assert "does not exist" in "".join(read_wal(repository).damaged)


def test_batches_that_were_read_are_fetched_once_and_tails_again(recipients: Recipients) -> None:
    store, known = Counting(), KnownLists()
    repository = recipients.repository(store)
    made = writer(repository, recipients)
    ship(made, range(3, 6))
    made.show([made.put(1, 6 * SIZE, b"begun")], SEEN + timedelta(seconds=9))
    first = read_wal(repository, SYSTEM, known)
    store.fetched.clear()
    assert read_wal(repository, SYSTEM, known) == first
    assert len(store.fetched) == 1
    store.delete(sorted(known)[1])
    assert "was deleted" in "\n".join(wal_findings(repository, read_wal(repository, SYSTEM, known)))


class Counting(MemoryStore):
    """A store that notes which lists are fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        self.fetched += [key] if "/wal-" in key else []
        return super().get(key, offset, length)


def test_each_missing_batch_is_found(repository: Repository, recipients: Recipients) -> None:
    ship(writer(repository, recipients), range(6))
    remember_wal(repository, read_wal(repository))
    for number, key in enumerate(keys_below(repository, "wal-batch")):
        text = b"".join(repository.store.get(key))
        repository.store.delete(key)
        found = findings(repository)
        if number == 0:
            # The oldest may have expired; a backup that needs it says so.
            assert found == ""
            assert "up to 0/0 only" in read_wal(repository).lacking(1, 0, SIZE)
        elif number == 5:
            assert "batch 6 of WAL" in found
            assert "which was seen before" in found
        else:
            assert f"segment {segment_name(1, number * SIZE, SIZE)} is missing" in found
            assert f"batch {number + 1} of WAL" in found
        repository.store.put(key, (text,))
    assert findings(repository) == ""


def test_a_hole_that_nobody_deleted_is_found(repository: Repository, recipients: Recipients) -> None:
    ship(writer(repository, recipients), [1, 2, 6])
    assert "3 segments, 000000010000000000000003 to 000000010000000000000005, are missing" in findings(repository)


def test_what_only_a_backup_needed_after_the_archive_is_no_hole(repository: Repository, recipients: Recipients) -> None:
    ship(writer(repository, recipients), [1, 2])
    of_backup = writer(repository, recipients)
    of_backup.purpose = "backup"
    ship(of_backup, [5])
    assert findings(repository) == ""
    ship(writer(repository, recipients), [3, 6])
    assert "segment 000000010000000000000004 is missing" in findings(repository)


def test_the_same_segment_twice_is_good_with_equal_contents_only(
    repository: Repository, recipients: Recipients
) -> None:
    ship(writer(repository, recipients), [1, 2])
    ship(writer(repository, recipients), [1, 2])
    assert findings(repository) == ""
    ship(writer(repository, recipients), [2], mark=b"another")
    assert "000000010000000000000002 is in the repository with different contents" in findings(repository)


def test_wal_of_another_system_is_found(repository: Repository, recipients: Recipients) -> None:
    ship(writer(repository, recipients), [1])
    ship(writer(repository, recipients, "42"), [2])
    assert "WAL of database system 42 is in the repository of 7391" in findings(repository)
    assert read_wal(repository, SYSTEM).lacking(1, SIZE, 2 * SIZE) == ""


def test_a_timeline_without_a_history_is_found(repository: Repository, recipients: Recipients) -> None:
    ship(writer(repository, recipients), [1])
    ship(writer(repository, recipients), [2], timeline=2)
    assert "timeline 2 has segments and no history" in findings(repository)
    with pytest.raises(Unreadable, match="timeline 2: its history is not in the repository"):
        read_wal(repository).way_to(1, SIZE, 2)


def test_a_way_leads_over_a_switch_and_writes_after_it_are_found(
    repository: Repository, recipients: Recipients
) -> None:
    made, fork = writer(repository, recipients), 3 * SIZE + 100
    ship(made, [1, 2])
    last = made.put(1, 3 * SIZE, segment(3)[:100], last=True)
    history = made.put_history("00000002.history", 2, b"1\t0/300064\tpromoted\n", (Switch(1, fork),))
    made.commit([last, history], SEEN)
    ship(made, [3, 4], timeline=2)
    catalogue = read_wal(repository)
    assert findings(repository) == ""
    legs = catalogue.way_to(1, SIZE, 2)
    assert legs == (Leg(1, SIZE, fork), Leg(2, fork, None))
    assert [catalogue.reach(leg)[0] for leg in legs] == [fork, 5 * SIZE]
    ship(made, [3, 4], timeline=1)
    assert "000000010000000000000004 and 0 more are of timeline 1 after its end at 0/300064" in findings(repository)


def test_two_servers_that_were_promoted_to_one_timeline_are_found(
    repository: Repository, recipients: Recipients
) -> None:
    """Segments that follow each other hide it: of each there is one copy."""
    one, other = writer(repository, recipients), writer(repository, recipients)
    for made, at, numbers in ((one, 3 * SIZE, [3, 4]), (other, 5 * SIZE, [5])):
        made.commit([made.put_history("00000002.history", 2, b"%d" % at, (Switch(1, at),))], SEEN)
        ship(made, numbers, timeline=2)
    assert "00000002.history is in the repository with different contents" in findings(repository)
    assert "two servers were promoted to this timeline" in findings(repository)


def test_a_list_that_no_trusted_writer_signed_counts_for_nothing(
    repository: Repository, recipients: Recipients
) -> None:
    ship(writer(repository, recipients), [1])
    ship(writer(repository, Recipients()), [2])
    catalogue = read_wal(repository, SYSTEM)
    assert len(catalogue.lists) == 1
    assert "not signed by a trusted writer" in findings(repository) or "signed" in findings(repository)


def test_a_list_in_another_place_or_of_another_estate_counts_for_nothing(
    repository: Repository, recipients: Recipients
) -> None:
    ship(writer(repository, recipients), [1])
    (key,) = keys_below(repository, "wal-batch")
    text = b"".join(repository.store.get(key))
    other = recipients.repository(repository.store, "other")
    repository.store.put(key.replace("shop/", "other/"), (text,))
    assert "belongs to estate shop" in "\n".join(wal_findings(other, read_wal(other)))
    repository.store.put(key.replace("0000000000000001-", "0000000000000007-"), (text,))
    assert "in another place" in findings(repository)


def test_a_lost_and_an_altered_object_are_found(repository: Repository, recipients: Recipients) -> None:
    ship(writer(repository, recipients), [1, 2])
    catalogue = read_wal(repository)
    assert missing_objects(repository, catalogue) == []
    data = [key for key in keys_below(repository, "wal") if "/wal/0" in key]
    body = bytearray(b"".join(repository.store.get(data[0])))
    body[-20] ^= 1
    repository.store.put(data[0], (bytes(body),))
    with pytest.raises(Unreadable, match="WAL 000000010000000000000001: segment 0"):
        WalReader(repository, recipients.dr[0]).read(catalogue.segments[1, SIZE][0])
    repository.store.delete(data[1])
    size = catalogue.segments[1, 2 * SIZE][0].entry.stored_size
    assert missing_objects(repository, catalogue) == [f"000000010000000000000002: 0 bytes are stored instead of {size}"]
