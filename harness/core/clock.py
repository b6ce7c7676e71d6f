"""Clock, passed in everywhere, and the only polling loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from harness.core.errors import TookTooLong

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Clock:
    """Monotonic seconds for durations, UTC for people, and a sleeper."""

    monotonic: Callable[[], float]
    wall: Callable[[], datetime]
    sleep: Callable[[float], None]


class NotYet(Exception):
    """The awaited event has not happened yet. Only probes raise it; the message is the observed state."""


SYSTEM = Clock(time.monotonic, lambda: datetime.now(UTC), time.sleep)


def wait_until(
    probe: Callable[[], T],
    *,
    patience: float,
    on: type[Exception] | tuple[type[Exception], ...] = NotYet,
    every: float = 0.05,
    what: str = "",
    clock: Clock = SYSTEM,
) -> T:
    """Return the result of `probe`, retried on `on` every `every` seconds. Raises TookTooLong with the last reason."""
    deadline = clock.monotonic() + patience
    while True:
        try:
            return probe()
        except on as error:
            if clock.monotonic() >= deadline:
                name = what or getattr(probe, "__name__", repr(probe))
                raise TookTooLong(f"{name}: not within {patience:g} s ({error})") from error
        clock.sleep(every)
