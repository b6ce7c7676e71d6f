"""What a store can do is found by trying: the same for every store, and a store that cannot is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from harness.core.errors import Unreadable
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.port import ObjectStore, StoredObject
from harness.repository.store.probe import key_of, known, probe
from tests.repository.memory_store import MemoryStore


def test_every_store_can_do_what_a_repository_needs(store: ObjectStore, estate: str) -> None:
    assert known(store, estate) is None
    found = probe(store, estate)
    assert found.lacking == ()
    assert found.found["clock"] == "same"
    assert [one.key for one in store.list(f"{estate}/")] == [key_of(estate)]
    assert known(store, estate) == found


@pytest.mark.programs
def test_seaweedfs_says_what_it_is(real_store: ObjectStore, estate: str) -> None:
    found = probe(real_store, estate).found
    assert found["order of lists"] == "by folder"
    assert (found["versions"], found["object lock"], found["conditional put"]) == ("no", "no", "yes")
    assert found["unfinished uploads"] == "listed"


def test_a_directory_says_how_much_room_it_has(directory: DirectoryStore) -> None:
    found = probe(directory, "shop").found
    assert found["object lock"] == found["versions"] == "no"
    assert int(found["room"].removesuffix(" bytes")) > 0


@dataclass(slots=True)
class Odd:
    """A store in memory with one fault."""

    fault: str
    inner: MemoryStore = field(default_factory=MemoryStore)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        return self.inner.get(key) if self.fault == "ranges" else self.inner.get(key, offset, length)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        found = [*self.inner.list(prefix)]
        if self.fault == "clock":
            found = [StoredObject(one.key, one.size, one.modified + timedelta(hours=1)) for one in found]
        return iter(sorted(found, key=lambda one: one.key.lower()) if self.fault == "order of lists" else found)

    def delete(self, key: str) -> None:
        if self.fault != "deletion":
            self.inner.delete(key)


@pytest.mark.parametrize("fault", ["order of lists", "ranges", "deletion"])
def test_what_a_store_cannot_do_is_named(fault: str) -> None:
    assert probe(Odd(fault), "shop").lacking == (fault,)  # type: ignore[arg-type]


def test_a_clock_that_is_off_is_named() -> None:
    assert probe(Odd("clock"), "shop").found["clock"].startswith("differs by 3")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"at": "x", "found": {}}', b'{"at": "2026-03-01", "found": []}'])
def test_a_record_that_is_none_is_refused(text: bytes) -> None:
    store = MemoryStore()
    store.put(key_of("shop"), (text,))
    with pytest.raises(Unreadable, match=r"shop/probe/store\.json: is no record of a store"):
        known(store, "shop")
