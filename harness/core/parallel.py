"""Independent calls in parallel threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


@dataclass(slots=True)
class Stops:
    """Functions that end calls under way: of processes, of queries. `stop` calls those registered at that time."""

    _functions: list[Callable[[], None]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)
    stopped: bool = False

    @contextmanager
    def calling(self, function: Callable[[], None]) -> Iterator[None]:
        """Register `function` inside the block; after `stop` it is called at once."""
        with self._lock:
            self._functions.append(function)
            late = self.stopped
        try:
            if late:
                function()
            yield
        finally:
            with self._lock:
                self._functions.remove(function)

    def stop(self) -> None:
        """Call every registered function, last first. Raises what one of them raises."""
        with self._lock:
            self.stopped = True
            functions = self._functions[::-1]
        for function in functions:
            function()


def in_parallel(
    calls: Mapping[str, Callable[[], T]], *, limit: int = 0, stop: Callable[[], None] = lambda: None
) -> dict[str, T]:
    """Return the results of all calls by name, `limit` of them at a time (0: all).

    After the first error no further call is begun, and `stop` is called to end those under way; it is raised once
    they have ended. An interruption of the waiting thread does the same.
    """
    if not calls:
        return {}
    with ThreadPoolExecutor(max_workers=limit or len(calls)) as pool:
        futures = {name: pool.submit(call) for name, call in calls.items()}
        try:
            done, waiting = wait(futures.values(), return_when=FIRST_EXCEPTION)
            failed = _first_failed(futures, done)
        except BaseException:
            _cancel(futures)
            stop()
            raise
        if failed is not None:
            _cancel(futures)
            if waiting:
                stop()
    if failed is not None:
        failed.result()
    return {name: future.result() for name, future in futures.items()}


def _first_failed(futures: Mapping[str, Future[T]], done: set[Future[T]]) -> Future[T] | None:
    return next((future for future in futures.values() if future in done and future.exception() is not None), None)


def _cancel(futures: Mapping[str, Future[T]]) -> None:
    for future in futures.values():
        future.cancel()


def in_order(call: Callable[[S], T], items: Iterable[S], workers: int = 8) -> Iterator[tuple[S, T]]:
    """Yield each item with the result of `call`, in order; `workers` threads are that many items ahead, no more.

    Raises what the call for an item raises, once the items before it were yielded.
    """
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[tuple[S, Future[T]]] = deque()
        try:
            for item in items:
                ahead.append((item, pool.submit(call, item)))
                if len(ahead) > workers:
                    yield _first(ahead)
            while ahead:
                yield _first(ahead)
        finally:
            for _, future in ahead:
                future.cancel()


def _first(ahead: deque[tuple[S, Future[T]]]) -> tuple[S, T]:
    """Take the oldest call; return its item and result. The caller holds neither longer than the item's consumer."""
    item, future = ahead.popleft()
    return item, future.result()
