"""What WAL shippers leave when they are killed is removed; what a list names, or may name, never is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError
from harness.core.wal import Switch
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.upkeep.wal import expired_wal, reap_wal, remove_wal
from harness.repository.wal.catalogue import missing_objects, read_systems, read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.heads import remember_wal
from harness.repository.wal.reader import WalReader
from harness.repository.wal.writer import WalWriter, begin_wal
from tests.repository.failing_store import FailingStore
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients

SIZE = 1 << 20
SEEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def repository(recipients: Recipients) -> Repository:
    return recipients.repository(MemoryStore())


def writer(repository: Repository, keys: Recipients, system: str = "7391") -> WalWriter:
    return begin_wal(repository, system, SIZE, keys.public, keys.writer[0], read_wal(repository, system).head)


def everything(repository: Repository) -> set[str]:
    return {one.key for one in repository.store.list("")}


def test_files_of_a_killed_shipper_are_removed_with_their_keys(repository: Repository, recipients: Recipients) -> None:
    made = writer(repository, recipients)
    made.commit([made.put(1, 0, bytes(SIZE))], SEEN)
    before = everything(repository)
    killed = writer(repository, recipients)
    killed.put(1, SIZE, bytes(SIZE))
    left = everything(repository) - before
    assert len(left) == 3
    assert reap_wal(repository) == ()  # not older than a day
    assert set(reap_wal(repository, 0.0)) == left
    assert everything(repository) == before


def test_a_tail_is_removed_once_its_wal_is_elsewhere(repository: Repository, recipients: Recipients) -> None:
    killed = writer(repository, recipients)
    killed.show([killed.put(1, 0, b"begun")], SEEN)
    assert reap_wal(repository, 0.0) == ()
    assert read_wal(repository).lacking(1, 0, 5) == ""
    after = writer(repository, recipients)
    after.commit([after.put(1, 0, b"begun".ljust(SIZE, b"w"))], SEEN)
    removed = reap_wal(repository, 0.0)
    assert {key.split("/")[1] for key in removed} == {"wal", "wal-tail"}
    assert len(removed) == 4  # the list, its object, its two keys
    assert read_wal(repository).lacking(1, 0, SIZE) == ""


def test_of_two_equal_tails_one_stays(repository: Repository, recipients: Recipients) -> None:
    killed = [writer(repository, recipients), writer(repository, recipients)]
    for one in killed:
        one.show([one.put(1, 0, b"begun")], SEEN)
    assert len(reap_wal(repository, 0.0)) == 4  # the list, its object, its two keys
    assert read_wal(repository).lacking(1, 0, 5) == ""
    assert reap_wal(repository, 0.0) == ()


def test_a_tail_that_lists_a_history_is_removed_once_that_is_elsewhere(
    repository: Repository, recipients: Recipients
) -> None:
    made = writer(repository, recipients)
    history = made.put_history("00000002.history", 2, b"1\t0/200000\tpromoted\n", [Switch(1, 2 * SIZE)])

    def removed_tails() -> int:
        made.show([history], SEEN)
        made.put(1, 9 * SIZE, bytes(SIZE))  # the newest object, from which age counts
        return len([key for key in reap_wal(repository, 0.0) if "/wal-tail/" in key])

    assert removed_tails() == 0
    made.commit([made.put(1, SIZE, bytes(SIZE))], SEEN)
    assert removed_tails() == 0
    made.commit([history], SEEN)
    assert removed_tails() == 1
    assert 2 in read_wal(repository).histories


def test_wal_of_a_server_that_was_made_anew_neither_hides_nor_removes_that_of_the_one_before(
    repository: Repository, recipients: Recipients
) -> None:
    shipped(repository, recipients, 3)
    before = everything(repository)
    anew = writer(repository, recipients, "42")
    anew.commit([anew.put(1, 0, bytes(SIZE))], SEEN)
    writer(repository, recipients, "42").put(1, SIZE, bytes(SIZE))
    assert len(reap_wal(repository, 0.0)) == 3  # of the writer that was killed, with its keys
    assert before < everything(repository)
    found = {wal.cluster: wal for wal in read_systems(repository)}
    assert found["7391"].lacking(1, 0, 3 * SIZE) == found["42"].lacking(1, 0, SIZE) == ""
    kept = [based(2 * SIZE), based(0, "42")]
    assert [one.sequence for one in expired_wal(found["7391"], kept)] == [1, 2]
    assert expired_wal(found["42"], kept) == ()
    lines = wal_findings(repository, found["42"])
    assert lines == ("WAL of database system 7391 is in the repository of 42: another server ships there",)


def test_nothing_is_removed_while_a_list_is_missing_or_not_trusted(
    repository: Repository, recipients: Recipients
) -> None:
    made = writer(repository, recipients)
    for number in range(2):
        made.commit([made.put(1, number * SIZE, bytes(SIZE))], SEEN)
    remember_wal(repository, read_wal(repository))
    newest = [one.key for one in repository.store.list(repository.layout.of("wal-batch"))][-1]
    text = b"".join(repository.store.get(newest))
    for change in (lambda: repository.store.delete(newest), lambda: repository.store.put(newest, (b"nonsense",))):
        change()
        assert reap_wal(repository, 0.0) == ()
        repository.store.put(newest, (text,))
    assert wal_findings(repository, read_wal(repository)) == ()
    assert reap_wal(repository, 0.0) == ()


def test_a_clock_that_jumped_ahead_removes_nothing(recipients: Recipients) -> None:
    store = MemoryStore()
    killed = writer(recipients.repository(store), recipients)
    killed.put(1, 0, bytes(SIZE))
    ahead = Clock(SYSTEM.monotonic, lambda: SYSTEM.wall() + timedelta(days=365), SYSTEM.sleep)
    assert reap_wal(recipients.repository(store, clock=ahead)) == ()
    assert len(everything(recipients.repository(store))) == 3


def ship(repository: Repository, keys: Recipients) -> None:
    """Ship a segment, a tail, another tail, and the segment that replaces them."""
    made = writer(repository, keys)
    made.commit([made.put(1, 0, bytes(SIZE))], SEEN)
    for size in (10, 20):
        made.show([made.put(1, SIZE, b"w" * size)], SEEN)
    made.commit([made.put(1, SIZE, b"w" * SIZE)], SEEN)


@pytest.mark.night
def test_a_shipper_killed_at_any_call_leaves_what_opens_or_is_removed(recipients: Recipients) -> None:
    whole = FailingStore(at=-1)
    ship(recipients.repository(whole), recipients)
    assert len([call for call in whole.calls if call.startswith(("put", "delete"))]) == 14
    for at in range(len(whole.calls)):
        for after in (False, True):
            store = FailingStore(at, after, dead=True)
            with suppress(HarnessError):  # a failed deletion of a tail raises nothing
                ship(recipients.repository(store), recipients)
            repository = recipients.repository(store.inner)
            listed = read_wal(repository)
            reader = WalReader(repository, recipients.dr[0])
            for found in listed.segments.values():
                reader.read(found[0])
            assert wal_findings(repository, listed) == ()
            ship(repository, recipients)
            reap_wal(repository, 0.0)
            now = read_wal(repository)
            assert wal_findings(repository, now) == ()
            assert now.lacking(1, 0, 2 * SIZE) == ""
            runs = {one.run for one in now.lists}
            named = {repository.layout.wal(one.run, entry.path) for one in now.lists for entry in one.entries}
            objects = {key for key in everything(repository) if "/wal/" in key.removeprefix("shop/wal/")}
            assert objects == named
            assert {key.split("/")[2] for key in everything(repository) if key.startswith("shop/wal/")} == runs


def based(start: int, system: str = "7391") -> CommittedBackup:
    """Return the entry of a physical backup that begins at a position."""
    base = SimpleNamespace(timeline=1, start=start, stop=start + 1)
    return cast("CommittedBackup", SimpleNamespace(system=system, commit=SimpleNamespace(base=base)))


def shipped(repository: Repository, recipients: Recipients, count: int) -> WalWriter:
    made = writer(repository, recipients)
    for number in range(count):
        made.commit([made.put(1, number * SIZE, bytes([number]) * SIZE)], SEEN)
    remember_wal(repository, read_wal(repository))
    return made


def test_wal_before_every_kept_base_backup_expires(repository: Repository, recipients: Recipients) -> None:
    shipped(repository, recipients, 5)
    wal = read_wal(repository)
    logical = cast("CommittedBackup", SimpleNamespace(system="7391", commit=SimpleNamespace(base=None)))
    assert expired_wal(wal, [logical]) == ()
    assert expired_wal(wal, [based(0), based(3 * SIZE)]) == ()
    expired = expired_wal(wal, [based(3 * SIZE + 7), based(4 * SIZE), logical])
    assert [one.entries[0].start for one in expired] == [0, SIZE, 2 * SIZE]
    assert len(list(remove_wal(repository, expired))) == 3
    left = read_wal(repository)
    assert wal_findings(repository, left) == ()
    assert left.lacking(1, 3 * SIZE, 5 * SIZE) == ""
    assert not missing_objects(repository, left)
    assert len([key for key in everything(repository) if "/wal/" in key and "/keys/" not in key]) == 2
    after = writer(repository, recipients)
    after.commit([after.put(1, 5 * SIZE, bytes(SIZE))], SEEN)
    assert wal_findings(repository, read_wal(repository)) == ()


def test_wal_of_a_timeline_switch_and_what_cannot_be_trusted_is_kept(
    repository: Repository, recipients: Recipients
) -> None:
    made = shipped(repository, recipients, 2)
    made.commit(
        [made.put_history("00000002.history", 2, b"1\t0/200000\tno recovery target\n", [Switch(1, 2 * SIZE)])], SEEN
    )
    for number in (2, 3):
        made.commit([made.put(2, number * SIZE, bytes(SIZE))], SEEN)
    expired = expired_wal(read_wal(repository), [based(3 * SIZE)])
    assert [one.sequence for one in expired] == [1, 2, 4]
    list(remove_wal(repository, expired))
    left = read_wal(repository)
    assert wal_findings(repository, left) == ()
    assert [one.sequence for one in left.lists] == [3, 5]
    repository.store.put(repository.layout.wal_list(9, "20260101T000000.000000Z-0123456789"), (b"nonsense",))
    assert expired_wal(read_wal(repository), [based(9 * SIZE)]) == ()


@pytest.mark.parametrize("changes", range(7))
def test_removal_may_be_cut_at_every_change(recipients: Recipients, changes: int) -> None:
    store = MemoryStore()
    repository = recipients.repository(store)
    shipped(repository, recipients, 4)
    cut = replace(repository, store=FailingStore(changes, dead=True, inner=store))
    list(remove_wal(cut, expired_wal(read_wal(repository), [based(3 * SIZE)])))
    left = read_wal(repository)
    assert wal_findings(repository, left) == ()
    assert left.lacking(1, 3 * SIZE, 4 * SIZE) == ""
    list(remove_wal(repository, expired_wal(left, [based(3 * SIZE)])))
    reap_wal(repository, 0.0)
    assert len([key for key in everything(repository) if "/wal/" in key and "/keys/" not in key]) == 1


def test_a_tail_of_wal_that_expires_goes_first(repository: Repository, recipients: Recipients) -> None:
    killed = writer(repository, recipients)
    killed.show([killed.put(1, 0, b"begun")], SEEN)
    shipped(repository, recipients, 3)
    expired = expired_wal(read_wal(repository), [based(2 * SIZE)])
    assert [(one.sequence, one.tail) for one in expired] == [(1, 1), (1, 0), (2, 0)]
    assert all(error == "" for _, error in remove_wal(repository, expired))
    assert wal_findings(repository, read_wal(repository)) == ()
    assert not [key for key in everything(repository) if "partial" in key]


def test_a_tail_is_removed_without_the_file_of_a_batch_that_is_still_locked(
    repository: Repository, recipients: Recipients
) -> None:
    made = shipped(repository, recipients, 1)
    made.show([made.put(1, 0, bytes(SIZE))], SEEN)
    now = repository.clock.wall()
    expired = expired_wal(read_wal(repository), [based(SIZE)], now - timedelta(days=1))
    assert [one.tail for one in expired] == [1]
    list(remove_wal(repository, expired))
    left = read_wal(repository)
    assert [one.tail for one in left.lists] == [0]
    assert missing_objects(repository, left) == []
    assert [one.tail for one in expired_wal(left, [based(SIZE)], now + timedelta(days=1))] == [0]


def test_a_list_that_the_store_keeps_ends_the_removal_and_is_named(recipients: Recipients) -> None:
    store = MemoryStore()
    repository = recipients.repository(store)
    shipped(repository, recipients, 4)
    refusing = replace(repository, store=FailingStore(2, inner=store))
    done = list(remove_wal(refusing, expired_wal(read_wal(repository), [based(3 * SIZE)])))
    assert [what.split(":")[0] for what, _ in done] == ["batch 1 of WAL", "batch 2 of WAL"]
    assert [bool(error) for _, error in done] == [False, True]
    assert [one.sequence for one in read_wal(repository).lists] == [2, 3, 4]
