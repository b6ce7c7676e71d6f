"""Retention of incremental backups: what one that stays builds on stays, and a chain goes from its newest end."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from harness.core.contents import Contents, Parent, PhysicalFacts
from harness.core.errors import HarnessError, Refused, Unreadable
from harness.repository.lineage import lineage
from harness.repository.upkeep.retention import Policy, decide, remove_expired
from harness.signing import read_signing_key
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, contents
from tests.repository.test_retention import BEGIN, Past

LAST = Policy(last=1, day=0, week=0, month=0, year=0, verified=1)


@pytest.fixture
def past(recipients: Recipients) -> Past:
    return Past(MemoryStore(), recipients)


def physical(past: Past, night: int, parent: str = "", lock: timedelta | None = None) -> str:
    """Take a physical backup of a night, an incremental one where it has a parent; return its name."""
    past.now = BEGIN + timedelta(days=night)
    found = next((one for one in past.repository.committed() if one.backup_id == parent), None)
    named = Parent(found.commit.sequence, parent, found.digest) if found is not None and found.commit else None
    facts = PhysicalFacts(1, night << 24, (night << 24) + 1, 1 << 24, past.now, past.now, "postgres", True, (), named)
    writer = past.recipients.begin(past.repository)
    writer.add("base/base.tar", (b"x",))
    writer.keep(b"the manifest")
    inside: Contents = replace(contents(), databases=(), trees=(), physical=facts)
    until = None if lock is None else past.now + lock
    receipt = writer.commit(inside)
    if until is not None:  # the store in memory cannot lock: COMMIT says that it does
        (entry,) = (one for one in past.repository.committed() if one.backup_id == receipt.backup_id)
        assert entry.commit is not None
        commit = entry.commit.model_copy(update={"locked_until": until})
        past.store.put(receipt.path, (commit.signed(read_signing_key(past.recipients.writer[0])),))
    return receipt.backup_id


def kept(past: Past, policy: Policy = LAST) -> dict[str, tuple[str, ...]]:
    return {one.entry.backup_id: one.kept for one in decide(past.repository, policy) if not one.expires}


def test_a_parent_stays_as_long_as_what_builds_on_it(past: Past) -> None:
    old = physical(past, 0)
    full = physical(past, 1)
    first = physical(past, 2, full)
    second = physical(past, 3, first)
    past.verify()
    assert kept(past) == {
        second: ("newest", "last", "verified"),
        first: (f"parent of {second}",),
        full: (f"parent of {first}",),
    }
    assert past.expire(LAST) == {old: ""}
    new = physical(past, 4)
    past.verify()
    assert list(past.expire(LAST)) == [second, first, full]
    assert past.left() == [new]
    assert past.keys(full, first, second) == []


def test_an_interrupted_removal_leaves_a_chain_from_its_full_one_on(past: Past) -> None:
    full = physical(past, 0)
    first = physical(past, 1, full)
    second = physical(past, 2, first)
    other = physical(past, 3)
    new = physical(past, 4)
    past.verify()
    decisions = decide(past.repository, LAST)
    removal = remove_expired(past.repository, decisions, read_signing_key(past.recipients.writer[0]))
    assert next(removal) == (second, "")
    for entry in (entries := past.repository.committed()):
        lineage(entry, entries)
    assert [one.backup_id for one in entries] == [new, other, first, full]


def test_a_parent_of_a_locked_one_stays(past: Past) -> None:
    full = physical(past, 0)
    locked = physical(past, 1, full, timedelta(days=30))
    physical(past, 2)
    past.verify()
    assert kept(past)[full] == (f"parent of {locked}",)


def test_an_incremental_one_is_verified_only_with_its_parents(past: Past) -> None:
    full = physical(past, 0)
    first = physical(past, 1, full)
    (entry,) = (one for one in past.repository.committed() if one.backup_id == first)
    past.repository.verified(entry, past.recipients.dr[0])
    with pytest.raises(Refused, match="0 backups were ever opened completely"):
        decide(past.repository, LAST)
    past.verify()
    assert kept(past)[first] == ("newest", "last", "verified")


def test_a_parent_that_expired_is_named(past: Past) -> None:
    full = physical(past, 0)
    first = physical(past, 1, full)
    past.store.delete(past.repository.layout.commit(full))
    entries = past.repository.committed()
    with pytest.raises(Unreadable, match=re.escape(f"backup {full}, which {first} builds on, is not in the")):
        lineage(entries[0], entries)


def test_a_logical_backup_is_no_parent(past: Past) -> None:
    logical = past.back_up(BEGIN)
    first = physical(past, 1, logical)
    entries = past.repository.committed()
    with pytest.raises(Unreadable, match=f"backup {logical}, which {first} builds on, is logical"):
        lineage(entries[0], entries)


class Stubborn(MemoryStore):
    """A store that refuses to delete what the writer sealed to itself."""

    def delete(self, key: str) -> None:
        if "/writer/" in key:
            raise HarnessError(f"{key}: access denied")
        MemoryStore.delete(self, key)


def test_what_could_not_be_removed_is_removed_by_the_next_run(recipients: Recipients) -> None:
    stubborn = Stubborn()
    past = Past(stubborn, recipients)
    old, new = physical(past, 0), physical(past, 1)
    past.verify()
    assert "access denied" in past.expire(LAST)[old]
    assert any("/writer/" in key for key in past.keys(old))
    past.store = willing = MemoryStore()
    willing._objects = stubborn._objects
    assert past.expire(LAST) == {old: ""}
    assert past.keys(old) == []
    assert past.left() == [new]
