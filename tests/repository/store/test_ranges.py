"""Reads by several connections: the same bytes in order, few at a time, and no byte more or less unnoticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Lock

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import Unreadable
from harness.repository.format.seal import HEADER, SEGMENT, TAG, seal
from harness.repository.pipeline import Pipeline
from harness.repository.store.ranges import AHEAD, RANGE, opened
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


def stored(size: int = SIZE) -> tuple[Counting, bytes, int]:
    """Return a store with an object "o", its plaintext and its stored size."""
    store, plain = Counting(), os.urandom(size)
    return store, plain, store.put("o", seal((plain,), KEY, BOUND))


def plaintext(store: Counting, size: int, first: int = 0) -> bytes:
    return b"".join(part for one in opened(store, "o", size, KEY, BOUND, first) for part in one.plain)


def test_the_bytes_come_in_order_by_several_requests_and_no_more_than_that() -> None:
    store, plain, size = stored()
    assert plaintext(store, size) == plain
    assert store.requests == 1 + 6  # the header, and the ranges
    assert 1 < store.most <= AHEAD


@pytest.mark.parametrize("first", [1, 5, RANGE // SEGMENT, 5 * RANGE // SEGMENT])
def test_it_can_begin_with_any_segment(first: int) -> None:
    store, plain, size = stored()
    assert plaintext(store, size, first) == plain[first * (SEGMENT - TAG) - HEADER :]


def test_every_stored_byte_is_counted() -> None:
    store, _, size = stored()
    assert sum(one.fetched for one in opened(store, "o", size, KEY, BOUND)) == size


def test_who_stops_early_leaves_no_request() -> None:
    store, _, size = stored(20 * RANGE)
    source = opened(store, "o", size, KEY, BOUND)
    assert next(source).fetched == RANGE
    source.close()  # type: ignore[attr-defined]
    assert store.now == 0
    assert store.requests <= 1 + AHEAD + 2


class Short(Counting):
    """Leaves out the end of the range that begins at `at`."""

    at, given = 0, 0

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        yield from super().get(key, offset, self.given if offset == self.at else length)


@pytest.mark.parametrize("given", [1, SEGMENT, SEGMENT + 5, RANGE - SEGMENT])
def test_authentic_segments_of_a_range_that_lacks_others_are_refused(given: int) -> None:
    """Segments are numbered by their place, so those after the missing ones would authenticate as well."""
    _, plain, _ = stored()
    store = Short()
    size = store.put("o", seal((plain,), KEY, BOUND))
    store.at, store.given = 2 * RANGE, given
    with pytest.raises(Unreadable, match=r"truncated|does not authenticate"):
        plaintext(store, size)


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
