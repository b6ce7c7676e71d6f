"""The control matrix: what is evidence, how old it may be, and what closes a finding."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from harness.core.controls import CONTROLS, Exempt, Run, Status, closes, findings, matrix

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BUDGETS = {"rto": 180.0, "rpo": 60.0, "exposure": 86400.0}
PASS = Run("loss", "shop", "embedded", "5c" * 32, NOW - DAY, "KEPT", True, ("NIST-CP-4", "NIST-CP-9"), BUDGETS, "r1")
FAIL = replace(PASS, verdict="BROKEN", as_expected=False, ended=NOW - 2 * DAY, record="r0", reason="RTO missed")
EXEMPT = Exempt("loss", "Ada", "new disks are ordered", date(2026, 6, 1))


def status(control: str, *runs: Run, exempts: tuple[Exempt, ...] = (), now: datetime = NOW) -> Status:
    (row,) = [row for row in matrix(runs, exempts, now, {}) if row.control.id == control]
    return row.status


def test_every_control_of_the_table_has_a_row_and_its_own_name() -> None:
    rows = matrix((), (), NOW, {})
    assert [row.control.id for row in rows] == [control.id for control in CONTROLS]
    assert len({control.id for control in CONTROLS}) == len(CONTROLS)
    assert {row.status for row in rows} == {Status.GAP}


def test_a_pass_covers_the_controls_of_its_scenario_alone() -> None:
    assert status("NIST-CP-4", PASS) == Status.COVERED
    assert status("DORA-12", PASS) == Status.GAP


def test_a_year_later_the_same_pass_is_stale() -> None:
    assert status("NIST-CP-4", PASS, now=NOW + timedelta(days=363)) == Status.COVERED
    assert status("NIST-CP-4", PASS, now=NOW + timedelta(days=365)) == Status.STALE
    assert status("NIST-CP-9", PASS, now=NOW + timedelta(days=92)) == Status.STALE


def test_an_interval_of_your_own_replaces_that_of_the_table() -> None:
    (row,) = [
        row for row in matrix((PASS,), (), NOW, {"NIST-CP-4": timedelta(hours=1)}) if row.control.id == "NIST-CP-4"
    ]
    assert (row.status, row.age) == (Status.STALE, DAY)
    assert "OWN-1" in [row.control.id for row in matrix((), (), NOW, {"OWN-1": DAY})]


def test_an_unknown_verdict_covers_nothing_even_when_it_was_expected() -> None:
    unknown = replace(PASS, verdict="UNKNOWN")
    assert status("NIST-CP-4", unknown) == Status.GAP
    assert status("NIST-CP-4", replace(unknown, as_expected=False)) == Status.GAP
    (row,) = [row for row in matrix((unknown,), (), NOW, {}) if row.control.id == "NIST-CP-4"]
    assert row.unknown == 1
    old = replace(PASS, ended=NOW - timedelta(days=400))
    assert status("NIST-CP-4", old, unknown) == Status.STALE


def test_an_expected_refusal_is_evidence() -> None:
    assert status("NIST-CP-9", replace(PASS, verdict="BROKEN")) == Status.COVERED


def test_a_record_of_the_future_is_no_evidence() -> None:
    assert status("NIST-CP-4", replace(PASS, ended=NOW + timedelta(days=900))) == Status.GAP
    assert status("NIST-CP-4", replace(PASS, ended=NOW + timedelta(minutes=1))) == Status.COVERED


def test_a_control_that_the_table_lacks_is_listed() -> None:
    assert status("NIST-SC-28", replace(PASS, controls=("NIST-SC-28",))) == Status.COVERED


def test_a_later_pass_of_the_same_scenario_closes_a_finding() -> None:
    assert status("NIST-CP-4", FAIL) == Status.FINDING
    assert status("NIST-CP-4", FAIL, PASS) == Status.COVERED
    assert findings((FAIL, PASS), (), NOW) == ()


@pytest.mark.parametrize(
    "weaker",
    [
        replace(PASS, scenario_sha256="6d" * 32),
        replace(PASS, drill="another"),
        replace(PASS, estate="small"),
        replace(PASS, substrate="docker"),
        replace(PASS, verdict="UNKNOWN"),
        replace(PASS, as_expected=False),
        replace(PASS, ended=FAIL.ended - DAY),
        replace(PASS, ended=NOW + 30 * DAY),
        replace(PASS, budgets={**BUDGETS, "rto": 14400.0}),
        replace(PASS, budgets={"rto": 180.0, "rpo": 60.0}),
    ],
    ids=[
        "other steps", "another scenario", "another estate", "another substrate", "unknown", "unexpected", "earlier",
        "in the future", "a weaker promise", "a promise left out",
    ],
)  # fmt: skip
def test_nothing_weaker_closes_a_finding(weaker: Run) -> None:
    assert [one.run.record for one in findings((FAIL, weaker), (), NOW)][:1] == ["r0"] or weaker.failed
    assert status("NIST-CP-4", FAIL, weaker) == Status.FINDING


def test_a_stricter_promise_closes_a_finding_and_a_scenario_without_a_hash_does_not() -> None:
    assert closes(replace(PASS, budgets={**BUDGETS, "rto": 60.0}), FAIL)
    assert not closes(replace(PASS, scenario_sha256=""), replace(FAIL, scenario_sha256=""))


def test_a_pass_and_then_a_failure_is_an_open_finding() -> None:
    again = replace(FAIL, ended=NOW, record="r2")
    assert [one.run.record for one in findings((FAIL, PASS, again), (), NOW)] == ["r2"]
    assert status("NIST-CP-4", FAIL, PASS, again) == Status.FINDING


def test_an_exception_puts_a_finding_aside_until_its_last_day() -> None:
    assert status("NIST-CP-4", FAIL, exempts=(EXEMPT,)) == Status.EXCEPTION
    assert status("NIST-CP-4", replace(PASS, ended=FAIL.ended - DAY), FAIL, exempts=(EXEMPT,)) == Status.EXCEPTION
    assert status("NIST-CP-4", FAIL, exempts=(EXEMPT,), now=NOW + DAY) == Status.FINDING
    (one,) = findings((FAIL,), (EXEMPT, replace(EXEMPT, until=date(2026, 5, 1))), NOW + DAY)
    assert one.open
    assert one.exempt == EXEMPT
    assert status("NIST-CP-4", FAIL, exempts=(replace(EXEMPT, scenario="another"),)) == Status.FINDING


def test_an_exception_of_one_record_puts_no_later_failure_aside() -> None:
    named = replace(EXEMPT, record="r0")
    assert status("NIST-CP-4", FAIL, exempts=(named,)) == Status.EXCEPTION
    again = replace(FAIL, ended=NOW, record="r9", reason="RPO missed")
    assert status("NIST-CP-4", FAIL, again, exempts=(named,)) == Status.FINDING
    assert status("NIST-CP-4", FAIL, again, exempts=(EXEMPT,)) == Status.EXCEPTION


def test_an_exception_does_not_make_old_evidence_fresh() -> None:
    old = replace(PASS, ended=NOW - timedelta(days=400))
    recent = replace(FAIL, drill="other")
    exempt = replace(EXEMPT, scenario="other")
    assert status("NIST-CP-4", old, recent, exempts=(exempt,)) == Status.STALE
