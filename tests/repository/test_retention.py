"""Retention: what is kept and why, what stops it, and what an interrupted removal leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError, Refused
from harness.repository.catalogue import Repository
from harness.repository.store.port import ObjectStore, StoredObject
from harness.repository.store.s3 import S3Store
from harness.repository.upkeep.reaper import reap
from harness.repository.upkeep.retention import Decision, Policy, decide, remove_expired
from harness.repository.witness import MemoryWitness
from harness.s3.client import ensure_bucket
from harness.signing import new_signing_pair, read_signing_key
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Launch, Recipients, connect, contents

BEGIN = datetime(2026, 1, 1, 3, tzinfo=UTC)
SMALL = Policy(last=1, day=3, week=2, month=2, year=0, verified=1)


@dataclass
class Past:
    """A repository whose clock a test sets. `now`: its time."""

    store: ObjectStore
    recipients: Recipients
    now: datetime = BEGIN
    witness: MemoryWitness = field(default_factory=MemoryWitness)

    @property
    def repository(self) -> Repository:
        clock = Clock(SYSTEM.monotonic, lambda: self.now, SYSTEM.sleep)
        return replace(self.recipients.repository(self.store, clock=clock), witnesses=(self.witness,))

    def back_up(self, at: datetime, lock: timedelta | None = None) -> str:
        """Take a backup at a time; return its name."""
        self.now = at
        writer = self.recipients.begin(self.repository)
        writer.add("globals", (b"x",))
        (database,) = contents().databases
        inside = replace(contents(), databases=(replace(database, snapshot_at=at),))
        return writer.commit(inside, lock).backup_id

    def verify(self) -> None:
        """Open every backup, and tell the witness the newest."""
        for entry in self.repository.committed():
            self.repository.verified(entry, self.recipients.dr[0])
        head = self.repository.catalogue().head
        assert head is not None
        self.repository.remember(head)

    def expire(self, policy: Policy = SMALL, key: bytes = b"") -> dict[str, str]:
        signing = read_signing_key(key or self.recipients.writer[0])
        return dict(remove_expired(self.repository, decide(self.repository, policy), signing))

    def left(self) -> list[str]:
        assert self.repository.catalogue().findings == ()
        return sorted(entry.backup_id for entry in self.repository.committed())

    def keys(self, *names: str) -> list[str]:
        return [entry.key for entry in self.store.list("shop/") if any(name in entry.key for name in names)]


@pytest.fixture
def past(recipients: Recipients) -> Past:
    return Past(MemoryStore(), recipients)


def nights(past: Past, count: int) -> list[str]:
    return [past.back_up(BEGIN + timedelta(days=night)) for night in range(count)]


def test_the_newest_of_each_period_is_kept_and_the_rest_is_gone_without_trace(past: Past) -> None:
    names = nights(past, 60)  # 1 January 2026, a Thursday, to 1 March, a Sunday
    past.verify()
    decisions = {one.entry.backup_id: one.kept for one in decide(past.repository, SMALL)}
    kept = {index: decisions[name] for index, name in enumerate(names) if decisions[name]}
    assert kept == {
        59: ("newest", "last", "day", "week", "month", "verified"),
        58: ("day", "month"),  # 28 February
        57: ("day",),
        52: ("week",),  # Sunday, 22 February
    }
    before = past.keys(*names)
    removed = past.expire()
    assert len(removed) == 56
    assert set(removed.values()) == {""}
    assert past.left() == [names[index] for index in sorted(kept)]
    assert len(before) > len(past.keys(*removed)) == 0
    assert past.expire() == {}
    past.repository.latest_valid(past.recipients.dr[0])
    assert past.left()[-1] == past.repository.latest_valid(past.recipients.dr[0]).backup.backup_id


def test_nothing_is_counted_from_today(past: Past) -> None:
    """A clock that is a year ahead when retention runs expires nothing more."""
    nights(past, 3)
    past.verify()
    past.now += timedelta(days=365)
    assert [one.expires for one in decide(past.repository, SMALL)] == [False] * 3
    assert past.expire() == {}


def test_backups_of_a_clock_that_jumped_stop_it(past: Past) -> None:
    nights(past, 9)
    past.back_up(BEGIN + timedelta(days=400))
    past.back_up(BEGIN + timedelta(days=10))
    past.verify()
    with pytest.raises(Refused, match=r"nothing is removed while .* in doubt: .*was finished 390 days before"):
        past.expire()
    assert len(past.repository.committed()) == 11


def test_a_deleted_backup_stops_it(past: Past) -> None:
    names = nights(past, 9)
    past.verify()
    past.store.delete(f"shop/commit/{names[4]}.json")
    with pytest.raises(Refused, match=r"in doubt: .*it was deleted"):
        past.expire()


def test_it_keeps_as_many_verified_ones_as_declared_or_removes_nothing(past: Past) -> None:
    names = nights(past, 9)
    with pytest.raises(Refused, match=r"0 backups were ever opened completely, backup.retention.verified is 1"):
        past.expire()
    entries = {entry.backup_id: entry for entry in past.repository.committed()}
    for index in (1, 2):
        past.repository.verified(entries[names[index]], past.recipients.dr[0])
    assert names[2] not in past.expire()
    assert names[2] in past.left()
    assert names[1] not in past.left()
    with pytest.raises(Refused, match="1 backups were ever opened"):
        past.expire(replace(SMALL, verified=2))


def test_what_dr_opened_is_known_to_the_writer_by_their_common_witness(past: Past) -> None:
    nights(past, 9)
    own = past.witness
    shared = MemoryWitness()
    for entry in past.repository.committed():
        replace(past.repository, witnesses=(own, shared)).verified(entry, past.recipients.dr[0])
    writer = replace(past.repository, witnesses=(MemoryWitness(), shared))
    assert any(one.expires for one in decide(writer, SMALL))
    assert writer.opened() == {}


def test_damaged_and_unsigned_backups_and_those_of_strangers_are_left_alone(past: Past) -> None:
    names = nights(past, 9)
    past.verify()
    stranger = replace(past.recipients, writer=new_signing_pair())
    foreign = Past(past.store, stranger).back_up(past.now)
    past.now += timedelta(hours=1)
    removed = past.expire()
    assert foreign not in removed
    assert past.keys(foreign)
    assert names[0] in removed


def test_a_note_of_a_stranger_excuses_no_deletion(past: Past) -> None:
    names = nights(past, 9)
    past.verify()
    pair = new_signing_pair()
    past.expire(key=pair[0])
    assert names[4] not in {entry.backup_id for entry in past.repository.committed()}
    (line,) = past.repository.catalogue().findings
    assert line == f"backup {names[5]} (number 6) is not in the repository, though older ones are: it was deleted"


@dataclass
class CutStore(MemoryStore):
    """A store at which the machine loses power before its change number `left`."""

    left: int = 0

    def put(self, key: str, chunks: object) -> int:
        self.count()
        return super().put(key, chunks)  # type: ignore[arg-type]

    def delete(self, key: str) -> None:
        self.count()
        super().delete(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        if self.left < 0:
            raise HarnessError("no power")
        return super().list(prefix)

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise HarnessError("no power")


def cut(past: Past, changes: int) -> dict[str, str]:
    """Expire, and lose power after so many changes at the store: nothing is changed after it."""
    whole = past.store
    assert isinstance(whole, MemoryStore)
    past.store = CutStore(whole.clock, whole._objects, whole._lock, left=10**6)
    decisions = decide(past.repository, SMALL)
    past.store.left = changes
    signing = read_signing_key(past.recipients.writer[0])
    try:
        removed = dict(remove_expired(past.repository, decisions, signing))
        if any(removed.values()):
            raise HarnessError(next(filter(None, removed.values())))
        return removed
    finally:
        past.store = whole


def copy_of(past: Past) -> Past:
    assert isinstance(past.store, MemoryStore)
    store = MemoryStore(past.store.clock, dict(past.store._objects))
    return Past(store, past.recipients, past.now, MemoryWitness(dict(past.witness.known)))


def test_it_may_lose_power_at_every_change(recipients: Recipients) -> None:
    """What is listed restores, nothing is a finding, the reaper raises no alarm, and the next run finishes."""
    first = Past(MemoryStore(), recipients)
    names = nights(first, 7)
    first.verify()
    for changes in range(200):
        past = copy_of(first)
        try:
            cut(past, changes)
        except HarnessError:
            ended = False
        else:
            ended = True
        past.now += timedelta(days=2)
        assert past.left()
        for entry in past.repository.committed():
            past.repository.verified(entry, recipients.dr[0])
        if changes % 2:
            assert reap(past.repository).alarm == ""
        past.expire()
        assert past.left() == names[3:]
        assert not past.keys(*names[:3])
        assert len(past.keys("/expired/")) <= 1
        if ended:
            return
    pytest.fail("never ended")


def test_a_locked_backup_is_left_until_its_lock_ends(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "locks", True, raising=False)
    monkeypatch.setattr(MemoryStore, "lock", lambda *_: None, raising=False)
    locked = past.back_up(BEGIN, timedelta(days=30))
    for night in range(1, 9):
        past.back_up(BEGIN + timedelta(days=night))
    past.verify()
    assert fate(past, locked).locked_until == BEGIN + timedelta(days=30)
    assert locked not in past.expire()
    past.now = BEGIN + timedelta(days=30, seconds=1)
    assert fate(past, locked).expires
    assert past.expire() == {locked: ""}


def fate(past: Past, name: str) -> Decision:
    (one,) = [one for one in decide(past.repository, SMALL) if one.entry.backup_id == name]
    return one


@pytest.mark.night
@pytest.mark.programs
def test_older_versions_go_too(launch: Launch, recipients: Recipients) -> None:
    """In a bucket that keeps versions a deletion alone frees nothing."""
    server = launch("versions")
    ensure_bucket(server.s3, "versioned")
    store = connect(server, "versioned")
    assert isinstance(store, S3Store)
    past = Past(store, recipients)
    names = nights(past, 7)
    past.verify()
    assert len(past.expire()) == 3
    assert past.left() == names[3:]
    versions = store._client.list_objects("versioned", "shop/", recursive=True, include_version=True)
    assert not [entry.object_name for entry in versions if any(name in str(entry.object_name) for name in names[:3])]
    store.expunge("shop/never-there")


@pytest.mark.night
def test_an_unversioned_bucket(launch: Launch, recipients: Recipients) -> None:
    past = Past(connect(launch("plain")), recipients)
    names = nights(past, 7)
    past.verify()
    assert len(past.expire()) == 3
    assert not past.keys(*names[:3])
