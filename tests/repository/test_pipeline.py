"""Stages of the pipeline, their budget, and how they end."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterable, Iterator

import pytest

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, Unreadable
from harness.repository.format.frames import FRAME
from harness.repository.pipeline import Budget, Pipeline, Stream
from tests.repository.memory_store import MemoryStore

DEK, BOUND = bytes(range(32)), b"this object"


def no_threads_left() -> None:
    left = [t.name for t in threading.enumerate() if t.name.startswith(("stage", "compress"))]
    if left:
        raise HarnessError(f"still there: {left}")


@pytest.fixture(autouse=True)
def _all_threads_end() -> Iterator[None]:
    yield
    wait_until(no_threads_left, patience=3, on=HarnessError)


@pytest.mark.parametrize("size", [0, 1, FRAME, 3 * FRAME + 5])
def test_data_round_trips_and_is_counted(size: int) -> None:
    data = secrets.token_bytes(size // 2) + bytes(size - size // 2)
    pipeline = Pipeline(MemoryStore())
    stored = pipeline.put("a", (data[at : at + 70_000] for at in range(0, size, 70_000)), DEK, BOUND)
    assert b"".join(pipeline.get("a", DEK, BOUND)) == data
    assert (stored.plain_size, stored.plain_sha256) == (size, hashlib.sha256(data).hexdigest())
    counters = pipeline.counters
    assert (counters.plain, counters.stored) == (size, stored.stored_size)
    assert counters.compressed < counters.stored
    assert sum(pipeline.authenticate("a", DEK, BOUND)) == stored.stored_size
    assert pipeline.budget.used == 0


def test_an_exception_of_the_source_ends_all_stages_and_is_raised() -> None:
    store = MemoryStore()
    closed = threading.Event()

    def dying() -> Iterator[bytes]:
        try:
            yield secrets.token_bytes(3 * FRAME)
            raise OSError("the dump died")
        finally:
            closed.set()

    with pytest.raises(OSError, match="the dump died"):
        Pipeline(store).put("a", dying(), DEK, BOUND)
    assert closed.is_set()
    assert list(store.list("")) == []


class FullStore(MemoryStore):
    """Is full after one MiB."""

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > 1 << 20:
                raise HarnessError(f"{key}: no space left")
        return size


def test_an_exception_of_the_store_ends_the_source() -> None:
    ended, pulled = threading.Event(), 0

    def endless() -> Iterator[bytes]:
        nonlocal pulled
        try:
            while True:
                pulled += 1
                yield secrets.token_bytes(1 << 20)
        finally:
            ended.set()

    pipeline = Pipeline(FullStore())
    with pytest.raises(HarnessError, match="no space left"):
        pipeline.put("a", endless(), DEK, BOUND)
    assert ended.wait(5)
    assert pulled < 100
    assert pipeline.budget.used == 0


def test_a_consumer_that_stops_early_ends_the_stages() -> None:
    pipeline = Pipeline(MemoryStore())
    pipeline.put("a", [secrets.token_bytes(6 * FRAME)], DEK, BOUND)
    stream = pipeline.get("a", DEK, BOUND)
    next(stream)
    stream.close()
    no_threads_left()
    assert pipeline.budget.used == 0


def test_a_missing_or_moved_object_is_refused() -> None:
    pipeline = Pipeline(MemoryStore())
    pipeline.put("a", [b"x"], DEK, BOUND)
    with pytest.raises(Unreadable, match="does not exist"):
        list(pipeline.get("b", DEK, BOUND))
    with pytest.raises(Unreadable, match="segment 0"):
        list(pipeline.get("a", DEK, b"another object"))


def test_a_fast_source_is_limited_by_the_budget() -> None:
    budget = Budget(limit=10 << 20)
    made = 0

    def fast() -> Iterator[bytes]:
        nonlocal made
        for _ in range(60):
            made += 1 << 20
            yield bytes(1 << 20)

    def full() -> None:
        if budget.used < budget.limit:
            raise HarnessError("not full yet")

    with Stream(budget) as stream:
        ahead = stream.ahead(fast())
        next(ahead)
        wait_until(full, patience=5, on=HarnessError)
        assert made <= budget.limit + (2 << 20)
        assert sum(map(len, ahead)) == 59 << 20
    assert budget.peak <= budget.limit


def test_streams_that_share_a_small_budget_all_finish() -> None:
    store = MemoryStore()
    pipeline = Pipeline(store, Budget(limit=1))  # far less than one chunk: an empty stage must still take one
    data = {f"k{n}": secrets.token_bytes(2 * FRAME + n) for n in range(5)}
    threads = [threading.Thread(target=pipeline.put, args=(k, (v,), DEK, BOUND)) for k, v in data.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {key: b"".join(pipeline.get(key, DEK, BOUND)) for key in data} == data
    assert pipeline.budget.used == 0


def test_progress_can_be_read_from_another_thread() -> None:
    pipeline, go = Pipeline(MemoryStore()), threading.Event()

    def slow() -> Iterator[bytes]:
        yield bytes(2 * FRAME)
        go.wait(10)
        yield b"the end"

    def half_way() -> None:
        if pipeline.counters.plain < 2 * FRAME:
            raise HarnessError("nothing yet")

    thread = threading.Thread(target=pipeline.put, args=("a", slow(), DEK, BOUND))
    thread.start()
    wait_until(half_way, patience=5, on=HarnessError)
    assert pipeline.counters.plain == 2 * FRAME
    go.set()
    thread.join(10)
    assert pipeline.counters.plain == 2 * FRAME + 7
