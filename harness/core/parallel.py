"""Independent calls in parallel threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def in_parallel(calls: Mapping[str, Callable[[], T]], *, limit: int = 0) -> dict[str, T]:
    """Return the results of all calls by name, `limit` of them at a time (0: all); then raises the first error."""
    if not calls:
        return {}
    with ThreadPoolExecutor(max_workers=limit or len(calls)) as pool:
        futures = {name: pool.submit(call) for name, call in calls.items()}
    return {name: future.result() for name, future in futures.items()}


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
                    first, future = ahead.popleft()
                    yield first, future.result()
            while ahead:
                first, future = ahead.popleft()
                yield first, future.result()
        finally:
            for _, future in ahead:
                future.cancel()
