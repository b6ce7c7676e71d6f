"""Durations for people."""

from __future__ import annotations

import pytest

from harness.core.duration import figure, human


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (29.53, "29.5 s"),
        (59.96, "1 min"),
        (60, "1 min"),
        (180.4, "3 min 0.4 s"),
        (200, "3 min 20 s"),
        (599.96, "10 min"),
        (601.4, "10 min 1 s"),
        (3599.7, "1 h"),
        (3600, "1 h"),
        (14400, "4 h"),
        (86400.0, "24 h"),
        (86399, "24 h"),
        (90060, "25 h 1 min"),
        (172800, "2 d"),
        (8 * 86400 + 7200, "8 d 2 h"),
        (-5, "-5 s"),
    ],
)
def test_a_duration_is_readable(seconds: float, text: str) -> None:
    assert human(seconds) == text


def test_what_was_not_measured_is_not_zero() -> None:
    assert figure(None) == "not measured"
    assert figure(0.0) == "0 s"
