"""What was judged goes through the journal and back, and is judged alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.clock import SYSTEM
from harness.core.errors import Unreadable
from harness.core.journal import RESUMED, MemoryJournal, resumed_events
from harness.core.judge import Clients, Evidence, Phase, Promise, judge
from harness.core.judged import (
    DOUBT,
    FINDING,
    JUDGED,
    MOST,
    PROMISED,
    evidence_in,
    inputs_of,
    noted_in,
    numbers_in,
    phases_of,
    promise_facts,
    promise_in,
    ranges,
)
from harness.core.ledger import CLIENTS, Ledger, Write

S = timedelta(seconds=1)
PROMISE = Promise("p", 60 * S, 5 * S, 3600 * S, "ops", "because", 2)
LEDGER = Ledger.of(Write(n, 100.0 + n, 100.1 + n) for n in range(20))
OBSERVATIONS = Evidence(
    PROMISE, Clients(LEDGER, 119.5, witnessed=True, survivors=frozenset(range(18))), key=150.0, exposure=30.0,
    missing_files=3, uncovered=("database a: why",), missing=("2.7",), findings=("f",), doubts=("d", "e"), checks=6,
)  # fmt: skip


def journalled(evidence: Evidence, mode: str = "drill") -> MemoryJournal:
    journal = MemoryJournal()
    journal.mark(PROMISED, "p", message="", **promise_facts(evidence.promise, mode, ""))
    for subject, facts in inputs_of(evidence):
        journal.mark(JUDGED, subject, message="", **facts)
    return journal


@pytest.mark.parametrize(
    "evidence",
    [
        OBSERVATIONS,
        replace(OBSERVATIONS, findings=(), doubts=(), missing=(), uncovered=(), missing_files=0),
        replace(OBSERVATIONS, clients=Clients(LEDGER, None, witnessed=False, survivors=None), key=None, exposure=None),
        replace(OBSERVATIONS, clients=Clients(LEDGER, 119.5, witnessed=True, survivors=frozenset())),
    ],
    ids=["all", "good", "no strike", "nothing survived"],
)
def test_the_evidence_of_a_drill_is_read_back(evidence: Evidence) -> None:
    found = evidence_in(journalled(evidence).events, {CLIENTS: LEDGER})
    assert found == evidence
    assert judge(found) == judge(evidence)


def test_a_restore_test_is_read_back_without_clients() -> None:
    evidence = replace(OBSERVATIONS, clients=None, activated=100.0)
    assert evidence_in(journalled(evidence, "restore test").events, {}) == evidence


def test_a_drill_without_clients_cannot_be_kept() -> None:
    good = replace(OBSERVATIONS, clients=None, activated=100.0, findings=(), doubts=(), missing=(), uncovered=())
    found = judge(evidence_in(journalled(good).events, {CLIENTS: LEDGER}))
    assert found.verdict == "UNKNOWN"
    assert "no strike was carried out" in found.reasons


def test_the_newest_record_of_a_journal_is_read() -> None:
    journal = journalled(replace(OBSERVATIONS, checks=1))
    journal.mark(PROMISED, "p", message="", **promise_facts(PROMISE, "drill", "KEPT"))
    for subject, facts in inputs_of(OBSERVATIONS):
        journal.mark(JUDGED, subject, message="", **facts)
    assert evidence_in(journal.events, {CLIENTS: LEDGER}) == OBSERVATIONS
    assert journal.events[-1].facts == {"line": "e"}


def test_a_journal_without_promise_or_verdict_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="no event `promised`"):
        evidence_in((), {CLIENTS: LEDGER})
    journal = MemoryJournal()
    journal.mark(PROMISED, "p", message="", **promise_facts(PROMISE, "drill", ""))
    with pytest.raises(Unreadable, match="no event `judged observed`: the drill was not concluded"):
        evidence_in(journal.events, {CLIENTS: LEDGER})


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"rto_seconds": "180"}, "rto_seconds '180': not a number of seconds"),
        ({"rto_seconds": True}, "rto_seconds True"),
        ({"rpo_seconds": 1e300}, "rpo_seconds 1e[+]300"),
        ({"missing_files": -1}, "missing_files -1"),
        ({"missing_files": 0.5}, "missing_files 0.5"),
    ],
)
def test_a_promise_of_another_type_is_unreadable(facts: dict[str, str | int | float | bool], said: str) -> None:
    good = promise_facts(PROMISE, "drill", "")
    assert promise_in(good) == PROMISE
    with pytest.raises(Unreadable, match=said):
        promise_in({**good, **facts})
    with pytest.raises(Unreadable, match="has no rto_seconds, rpo_seconds and exposure_seconds"):
        promise_in({"missing_files": 0})
    with pytest.raises(Unreadable, match="missing_files None: not a number"):
        promise_in({name: value for name, value in good.items() if name != "missing_files"})


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ({"copied": -1.0}, "copied -1.0: not a number of seconds"),
        ({"copied": "1"}, "copied '1'"),
        ({"key": True}, "key True"),
        ({"checks": 1.0}, "checks 1.0: not a number"),
        ({"exposure_seconds": float("nan")}, "exposure_seconds nan"),
    ],
)
def test_no_other_value_stands_for_a_number_wherever_it_is_judged(
    fact: dict[str, str | int | float | bool], said: str
) -> None:
    """The stand-alone verifier refused them, and this one only those that it used."""
    journal = MemoryJournal()
    journal.mark(PROMISED, "p", message="", **promise_facts(PROMISE, "drill", ""))
    for name, facts in inputs_of(OBSERVATIONS):
        journal.mark(JUDGED, name, message="", **facts)
    journal.mark(JUDGED, "finding", message="", line="x", **fact)
    with pytest.raises(Unreadable, match=said):
        evidence_in(journal.events, {CLIENTS: LEDGER})


@given(st.frozensets(st.integers(0, 400)))
def test_numbers_as_ranges_are_the_same_numbers(numbers: frozenset[int]) -> None:
    assert numbers_in(ranges(numbers)) == numbers


def test_ranges_are_short_and_hostile_ones_are_refused() -> None:
    assert ranges({1, 2, 3, 7, 9, 10}) == "1-3 7 9-10"
    assert ranges(()) == ""
    assert numbers_in(ranges({10**40})) == {10**40}  # a system may answer with numbers that nobody wrote
    for text in ("1-", "a", "1,2", "1  2", "-1", " 1", "1-2-3", "\u0661"):
        with pytest.raises(Unreadable, match="not numbers such as"):
            numbers_in(text)
    with pytest.raises(Unreadable, match="more than"):
        numbers_in(f"1-{MOST + 1}")


def test_phases_without_a_time_origin_are_none() -> None:
    assert phases_of((), None) == ()


def test_phases_begin_and_end_after_the_time_origin() -> None:
    now = [90.0]
    journal = MemoryJournal(replace(SYSTEM, monotonic=lambda: now[0]))
    for at, kind, name in (
        (90.0, "begin", "backup"), (95.0, "end", "backup"), (103.0, "end", "detect"), (103.0, "begin", "restore"),
        (104.0, "status", "restore"), (107.5, "failed", "restore"), (108.0, "end", "never begun"),
    ):  # fmt: skip
        now[0] = at
        journal.mark(kind, name)
    assert phases_of(journal.events, 100.0) == (Phase("detect", 0.0, 3.0), Phase("restore", 3.0, 7.5))


def test_what_was_noted_is_found_once_and_only_in_resumed_work() -> None:
    journal = MemoryJournal()
    for error in ("no order", "no image", "no order"):
        journal.mark(FINDING, "a drill", error=error)
    journal.mark(FINDING, "repository", reason="judged at the end")
    journal.mark(DOUBT, "a drill", error="interrupted")
    assert noted_in(journal.events, FINDING) == ("no order", "no image")
    assert noted_in(journal.events, DOUBT) == ("interrupted",)
    assert resumed_events(journal.events) == ()
    journal.mark(RESUMED, "recovery")
    assert resumed_events(journal.events) == journal.events


@pytest.mark.parametrize("text", ["1-3 3", "1-5 2-3", "4 1", "1-3 9-7 12", "12 9-7"])
def test_survivors_are_in_order(text: str) -> None:
    with pytest.raises(Unreadable, match="not in order"):
        numbers_in(text)
