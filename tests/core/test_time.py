from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from harness.core.clock import SYSTEM, Clock, wait_until
from harness.core.errors import TookTooLong
from harness.core.judge import exposure

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: self.now, lambda: NOON, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_probe_is_called_until_it_returns() -> None:
    time, refusals = FakeTime(), [OSError("no"), OSError("no")]

    def probe() -> str:
        if refusals:
            raise refusals.pop()
        return "yes"

    assert wait_until(probe, patience=1.0, on=OSError, clock=time.clock()) == "yes"
    assert time.now == pytest.approx(0.1)


def test_a_timeout_reports_the_last_reason() -> None:
    def never() -> None:
        raise OSError("still closed")

    with pytest.raises(TookTooLong, match=r"the door: not within 1 s \(still closed\)"):
        wait_until(never, patience=1.0, on=OSError, what="the door", clock=FakeTime().clock())
    with pytest.raises(TookTooLong, match="never: not within"):
        wait_until(never, patience=0.0, on=OSError, clock=FakeTime().clock())


def test_other_errors_are_not_retried() -> None:
    def wrong() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        wait_until(wrong, patience=10.0, on=OSError, clock=FakeTime().clock())


def test_the_system_clock_is_utc_and_monotonic() -> None:
    assert SYSTEM.wall().tzinfo is UTC
    assert SYSTEM.monotonic() <= SYSTEM.monotonic()


def test_exposure_is_the_largest_gap_including_the_open_one() -> None:
    hours = [NOON - timedelta(hours=h) for h in (20, 12, 3)]
    assert exposure(hours, NOON, DAY) == 9 * 3600
    assert exposure([NOON - timedelta(hours=10)], NOON, DAY) == 10 * 3600
    assert exposure([NOON - timedelta(hours=30), NOON - timedelta(hours=1)], NOON, DAY) == 29 * 3600
    assert exposure([NOON - timedelta(hours=90), NOON - timedelta(hours=30), NOON], NOON, DAY) == 30 * 3600


def test_without_a_snapshot_exposure_is_not_measured() -> None:
    assert exposure([], NOON, DAY) is None
    assert exposure([NOON + DAY], NOON, DAY) is None
