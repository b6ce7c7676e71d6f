"""Limit of bytes per second, over all threads of a process."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Literal

from harness.core.clock import SYSTEM, Clock

LARGEST, SMALLEST = 1 << 18, 1 << 12  # bytes that pass at once
SHARE = 10  # that part of a second's bytes passes at once


@dataclass(slots=True)
class Pace:
    """Lets `rate` bytes a second pass. Nothing is saved up: a pause is followed by no burst."""

    rate: int
    clock: Clock = SYSTEM
    _free: float = 0.0  # monotonic seconds at which the next bytes may pass
    _lock: Lock = field(default_factory=Lock)

    @property
    def piece(self) -> int:
        """How many bytes should pass at once."""
        return max(SMALLEST, min(LARGEST, self.rate // SHARE))

    def wait(self, size: int) -> None:
        """Wait until `size` bytes may pass; threads take turns."""
        with self._lock:
            now = self.clock.monotonic()
            begin = max(self._free, now)
            self._free = begin + size / self.rate
        if begin > now:
            self.clock.sleep(begin - now)


@cache
def pace_of(_direction: Literal["up", "down"], rate: int) -> Pace | None:
    """Return the one limit of this process for a direction and a rate, None for 0: all stores share it."""
    return Pace(rate) if rate else None


def paced(pace: Pace | None, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `chunks`, each when it may pass."""
    for chunk in chunks:
        if pace is not None:
            pace.wait(len(chunk))
        yield chunk
