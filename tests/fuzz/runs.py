"""Runs of a fuzz target: one of a few hundred inputs, or as many as fit in `BLACKSTART_FUZZ` seconds."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy, tuples

SECONDS = float(os.environ.get("BLACKSTART_FUZZ", "0"))
QUICK = settings(
    max_examples=200,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@dataclass(frozen=True, slots=True)
class Ran:
    """What was tried of a target. `seconds`: how long."""

    target: str
    inputs: int
    seconds: float

    def __str__(self) -> str:
        return f"fuzz: {self.target}: {self.inputs} inputs in {self.seconds:.0f} s, none uncaught"


RAN: list[Ran] = []


class Refused(Exception):
    """One of our errors, in one line that can be printed."""


@contextmanager
def refusing(*expected: type[BaseException]) -> Iterator[None]:
    """Accept an expected error if its message can be printed as one line; raise any other."""
    with suppress(Refused):
        try:
            yield
        except expected as error:
            if "\n" in str(error):
                raise
            str(error).encode()
            raise Refused from error


def fuzz(target: str, tried: Callable[..., None], *inputs: SearchStrategy[Any]) -> None:
    """Call `tried` with inputs until the time is over, at least once a few hundred times; count them."""
    began, count = time.monotonic(), 0

    def counted(words: tuple[object, ...]) -> None:
        nonlocal count
        count += 1
        tried(*words)

    while not count or time.monotonic() - began < SECONDS:
        seed(random.getrandbits(64))(QUICK(given(tuples(*inputs))(counted)))()
    RAN.append(Ran(target, count, time.monotonic() - began))
