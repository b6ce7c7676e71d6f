"""Targets of a recovery, as the command line reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.core.errors import UsageError
from harness.physical.target import read_target


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yesterday", "none of latest, time="),
        ("time=yesterday", "no time; one is like"),
        ("time=2026-03-01 12:00:00", "without a time zone"),
        ("lsn=3000028", "no position in the WAL"),
        ("xid=-1", "no transaction ID"),
        ("xid=2", "no transaction ID"),
        (f"xid={(1 << 32) + 2}", "no transaction ID"),
        (f"xid={1 << 64}", "no transaction ID"),
        (f"xid={'9' * 5000}", "no transaction ID"),
        ("before=name:noon", "a restore point is not a change"),
        ("before=latest", "none of latest"),
        ("name=", "none of latest"),
        (f"name={'n' * 64}", "longer than the 63 bytes"),
    ],
)
def test_a_target_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_target(text)


def test_a_time_is_read_in_any_zone() -> None:
    target = read_target("before=time:2026-03-01T13:00:00+01:00")
    assert target.settings == {
        "recovery_target_time": "2026-03-01T12:00:00+00:00",
        "recovery_target_inclusive": "off",
    }
    assert target.time is not None
    assert target.time.utcoffset() == timedelta(0)


def test_a_transaction_may_be_named_with_its_epoch() -> None:
    """pg_current_xact_id(), which the refusal names, gives 64 bits; after 4 billion transactions none was taken."""
    for text in ("xid=1234", f"xid={(1 << 32) + 1234}", f"before=xid:{(7 << 32) + 1234}"):
        assert read_target(text).settings["recovery_target_xid"] == "1234"
