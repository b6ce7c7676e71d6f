"""A deadline for work whose own timeouts cover one read each: an answer that drips or has no end never reaches them."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

from harness.core.errors import HarnessError

Result = TypeVar("Result")


class TooLate(HarnessError):
    """Work that took longer than its deadline."""


def within(seconds: float, work: Callable[[], Result], what: str) -> Result:
    """Return what `work` returns, or raise what it raises. Raises TooLate when it takes longer than `seconds`.

    It is left to itself then, and ends with this process at the latest. Work that ends just after its time has ended.
    """
    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by `result`
            done.set_exception(error)

    Thread(target=run, name=what, daemon=True).start()
    wait((done,), seconds)  # `result(seconds)` raises a TimeoutError that is not to be told from one of the work
    if done.done():
        return done.result()
    raise TooLate(f"{what}: no end within {seconds:g} s; what answers there is too slow")
