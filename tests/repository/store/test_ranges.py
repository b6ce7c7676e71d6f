"""Reads by several connections: the same bytes in order, few at a time, and no byte more or less unnoticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Lock

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import Unreadable
from harness.repository.pipeline import Pipeline
from harness.repository.store.ranges import AHEAD, RANGE, in_ranges
from tests.repository.memory_store import MemoryStore

SIZE = 5 * RANGE + 77
KEY, BOUND = b"k" * 32, b"bound"


class Counting(MemoryStore):
    """A store that counts requests, and how many are under way at once."""

    def __init__(self) -> None:
        super().__init__()
        self.requests, self.now, self.most = 0, 0, 0
        self.lock = Lock()

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        with self.lock:
            self.requests += 1
            self.now += 1
            self.most = max(self.most, self.now)
        SYSTEM.sleep(0.02)
        yield from MemoryStore.get(self, key, offset, length)
        with self.lock:
            self.now -= 1


def stored(size: int = SIZE) -> tuple[Counting, bytes]:
    store, body = Counting(), bytes(range(251)) * (size // 251 + 1)
    store.put("o", (body[:size],))
    return store, body[:size]


def test_the_bytes_come_in_order_by_several_requests_and_no_more_than_that() -> None:
    store, body = stored()
    assert b"".join(in_ranges(store, "o", SIZE)) == body
    assert store.requests == 6
    assert 1 < store.most <= AHEAD


def test_who_stops_early_leaves_no_request() -> None:
    store, _ = stored(20 * RANGE)
    source = in_ranges(store, "o", 20 * RANGE)
    assert len(next(iter(source))) == RANGE
    source.close()  # type: ignore[attr-defined]
    assert store.now == 0
    assert store.requests <= AHEAD + 2


def test_an_object_that_is_longer_shows_it() -> None:
    store, body = stored()
    assert sum(map(len, in_ranges(store, "o", SIZE - 3))) == len(body) - 2


def test_an_object_that_is_shorter_is_not_read_as_whole() -> None:
    store, body = stored(4 * RANGE)
    with pytest.raises(Unreadable, match=f"has {len(body)} bytes, none at"):
        list(in_ranges(store, "o", SIZE))


@pytest.mark.parametrize("change", ["longer", "shorter", "swapped"])
def test_a_sealed_object_that_was_changed_is_refused(change: str) -> None:
    store = Counting()
    pipeline, plain = Pipeline(store), os.urandom(2 * RANGE + 5)
    size = pipeline.put("o", (plain,), KEY, BOUND).stored_size
    assert b"".join(pipeline.get("o", KEY, BOUND, size)) == plain
    assert store.most > 1
    body = b"".join(store.get("o"))
    changed = {
        "longer": body + b"x",
        "shorter": body[:-1],
        "swapped": body[: 1 << 20] + body[2 << 20 : 3 << 20] + body[1 << 20 : 2 << 20] + body[3 << 20 :],
    }[change]
    store.put("o", (changed,))
    with pytest.raises(Unreadable, match="does not authenticate"):
        list(pipeline.get("o", KEY, BOUND, size))
