"""Notes of expired backups that a stranger adds: they cost the reader a bounded number of requests, and are named."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from harness.repository.format.expiry import LARGEST
from harness.repository.upkeep.expired import MOST_NOTES
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.repository.test_retention import BEGIN, Past, nights

FLOOD = 10 * MOST_NOTES


@dataclass
class Counting(MemoryStore):
    """A store that counts which notes are fetched."""

    fetched: list[str] = field(default_factory=list)

    def get(self, key: str, offset: int = 0, length: int = 0):  # type: ignore[no-untyped-def]
        if "/expired/" in key:
            self.fetched.append(key)
        return super().get(key, offset, length)


def verified_nights(store: MemoryStore, recipients: Recipients) -> Past:
    """Return a repository with backups of twelve nights, all of them opened."""
    past = Past(store, recipients)
    nights(past, 12)
    past.verify()
    return past


def flooded(past: Past, store: MemoryStore, stamp: str) -> None:
    for number in range(FLOOD):
        store.put(past.repository.layout.expiry(f"{stamp}-{number:010x}"), (b"{}",))


@pytest.mark.attacks
def test_a_flood_of_notes_is_bounded_and_named(recipients: Recipients) -> None:
    store = Counting()
    past = Past(store, recipients)
    past.back_up(BEGIN)
    for name in ("not a name", "20200101T000000.000000Z-00000000zz"):
        store.put(f"{past.repository.layout.of('expired')}{name}.json", (b"{}",))
    store.put(past.repository.layout.expiry("20200101T000000.000000Z-0000000001"), (bytes(LARGEST + 1),))
    assert past.repository.catalogue().findings == ()
    assert store.fetched == []  # neither its name nor its size is that of a note
    flooded(past, store, "20990101T000000.000000Z")
    store.fetched.clear()
    (finding,) = past.repository.catalogue().findings
    assert f"has {FLOOD} notes of expired backups, of which the newest {MOST_NOTES} were read" in finding
    assert len(store.fetched) == MOST_NOTES


@pytest.mark.attacks
def test_retention_reads_all_notes_and_clears_the_flood(recipients: Recipients) -> None:
    store = Counting()
    past = verified_nights(store, recipients)
    assert any(error == "" for error in past.expire().values())
    noted = past.repository.expired()
    assert noted
    flooded(past, store, "20990101T000000.000000Z")
    assert past.repository.expired() == ()  # the note is not among the newest, and that is said
    for night in range(12, 24):
        past.back_up(BEGIN + timedelta(days=night))
    past.verify()
    past.expire()
    assert past.repository.catalogue().findings == ()
    assert len(list(store.list(past.repository.layout.of("expired")))) == 1
