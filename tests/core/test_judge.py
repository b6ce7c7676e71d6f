"""Verdicts of drills and restore tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import (
    BackupFailed,
    Finding,
    HarnessError,
    MissingPart,
    NoValidBackup,
    Refused,
    TookTooLong,
    UsageError,
)
from harness.core.judge import Clients, Evidence, Phase, Promise, Verdict, is_finding, judge, unattributed
from harness.core.ledger import Ledger, Write
from harness.core.loss import fault_moment, measure_loss

PROMISE = Promise("p", timedelta(seconds=100), timedelta(seconds=10), timedelta(hours=24), "ops", "because")
ALL = frozenset(range(10))


def ledger_of(count: int = 10) -> Ledger:
    return Ledger.of(Write(n, float(n), n + 0.5) for n in range(count))


def evidence(**changes: object) -> Evidence:
    """Evidence of a drill that kept its promise, with changed values."""
    clients = Clients(ledger_of(), struck=10.0, witnessed=True, survivors=ALL)
    whole = Evidence(
        promise=PROMISE,
        clients=clients,
        activated=None,
        key=50.0,
        exposure=60.0,
        phases=(Phase("detect", 0.0, 5.0), Phase("key", 5.0, 40.5)),
        checks=3,
    )
    seen = {name: changes.pop(name) for name in ("ledger", "struck", "witnessed", "survivors") if name in changes}
    return replace(whole, clients=replace(clients, **seen), **changes)  # type: ignore[arg-type]


def restore_test(**changes: object) -> Evidence:
    """Evidence of a restore test that kept its promise, with changed values."""
    whole = Evidence(PROMISE, None, 10.0, 50.0, 60.0, (Phase("activate", 0.0, 5.0),), checks=3)
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_a_restore_test_needs_no_clients_and_counts_from_its_activation() -> None:
    assert judge(restore_test()).verdict is Verdict.KEPT
    assert judge(restore_test()).rto is None
    late = judge(restore_test(key=111.0))
    assert (late.verdict, late.reasons) == (
        Verdict.BROKEN,
        ("RTO missed by the restore alone: 101.0 s of 100 s",),
    )


def test_a_restore_test_that_tested_nothing_is_unknown() -> None:
    assert judge(restore_test(key=None, checks=0)).reasons == ("no assertion was made",)
    assert judge(restore_test(exposure=None)).verdict is Verdict.UNKNOWN
    stopped = judge(restore_test(key=None, checks=0, exposure=None, doubts=("refused: in use",)))
    assert (stopped.verdict, stopped.reasons) == (Verdict.UNKNOWN, ("refused: in use",))


@pytest.mark.parametrize(
    ("changes", "verdict"), [({"doubts": ("no result",)}, Verdict.UNKNOWN), ({"findings": ("no key",)}, Verdict.BROKEN)]
)
def test_what_did_not_stop_a_restore_test_hides_no_other_reason(changes: dict[str, Any], verdict: Verdict) -> None:
    judged = judge(restore_test(uncovered=("database archive",), **changes))
    (said,) = (line for lines in changes.values() for line in lines)
    assert (judged.verdict, judged.reasons) == (verdict, (said, "not covered by the backup: database archive"))


@pytest.mark.parametrize("make", [evidence, restore_test])
def test_drill_and_restore_test_are_judged_alike(make: Callable[..., Evidence]) -> None:
    assert judge(make(findings=("its API server does not answer",))).verdict is Verdict.BROKEN
    assert judge(make(missing_files=2)).reasons[0] == (
        "2 referenced files or objects are not on the DR site, 0 may be missing"
    )
    assert judge(make(missing_files=2, promise=replace(PROMISE, missing_files=2))).verdict is Verdict.KEPT
    judged = judge(make(uncovered=("database closed: no connections",)))
    assert judged.verdict is Verdict.UNKNOWN
    assert judged.reasons == ("not covered by the backup: database closed: no connections",)
    assert judge(make(doubts=("interrupted",))).verdict is Verdict.UNKNOWN
    assert judge(make(doubts=("interrupted",), key=None)).verdict is Verdict.UNKNOWN
    assert judge(make(doubts=("not cleared",), findings=("no backup",), key=None)).verdict is Verdict.BROKEN
    assert judge(make(exposure=90000.0)).verdict is Verdict.BROKEN


@pytest.mark.parametrize("error", [TookTooLong("x"), HarnessError("x"), OSError("x")])
def test_an_error_in_a_recovery_phase_is_a_finding_and_elsewhere_a_doubt(error: Exception) -> None:
    assert all(is_finding(error, phase) for phase in ("activate", "select", "restore", "app", "switch", "key"))
    assert not any(is_finding(error, phase) for phase in ("", "detect", "interlock"))


def test_a_refusal_a_usage_error_and_a_missing_program_are_always_doubts() -> None:
    for error in (Refused("x"), UsageError("x"), MissingPart("x"), KeyError("a defect"), KeyboardInterrupt()):
        assert not is_finding(error, "activate")
    for finding in (Finding("x"), NoValidBackup("x"), BackupFailed("x")):
        assert is_finding(finding, "")


def test_a_complete_recovery_within_its_promise_is_kept() -> None:
    judgement = judge(evidence())
    assert (judgement.verdict, judgement.reasons) == (Verdict.KEPT, ())
    assert judgement.rto == 40.5
    assert judgement.rpo == 0.0


def test_rto_counts_from_the_last_success_before_the_strike() -> None:
    assert fault_moment(ledger_of(), 5.2) == 4.5
    assert fault_moment(Ledger(()), 5.0) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"struck": None}, "no strike was carried out"),
        ({"struck": 30.0, "phases": (Phase("x", 0.0, 40.5),)}, "no acknowledged write in the 2 s before"),
        ({"ledger": Ledger(())}, "no acknowledged write in the 2 s before"),
        ({"witnessed": False}, "no effect"),
        ({"survivors": None}, "the surviving writes were not read"),
        ({"exposure": None}, "exposure was not measured"),
        ({"checks": 0}, "no assertion was made"),
        ({"missing": ("2.7",)}, "not done: 2.7"),
        ({"phases": ()}, "outside all phases"),
    ],
)
def test_missing_evidence_is_unknown_never_kept(changes: dict[str, object], reason: str) -> None:
    judgement = judge(evidence(**changes))
    assert judgement.verdict is Verdict.UNKNOWN
    assert any(reason in line for line in judgement.reasons), judgement.reasons


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": 200.0, "phases": (Phase("x", 0.0, 190.5),)}, "RTO missed: 190.5 s of 100 s"),
        ({"survivors": frozenset()}, "none of 10 acknowledged writes survived"),
        ({"key": None}, "service was not restored"),
        ({"exposure": 90000.0}, "exposure too large"),
        ({"survivors": ALL | {99}}, "never sent"),
        ({"survivors": ALL - {4}}, "missing although later ones survived"),
        ({"findings": ("no valid backup",)}, "no valid backup"),
    ],
)
def test_a_missed_promise_is_broken(changes: dict[str, object], reason: str) -> None:
    judgement = judge(evidence(**changes))
    assert judgement.verdict is Verdict.BROKEN
    assert any(reason in line for line in judgement.reasons), judgement.reasons


def test_an_rpo_breach_names_the_lost_writes() -> None:
    ledger = Ledger.of(Write(n, float(n), n + 0.5) for n in range(30))
    judgement = judge(
        evidence(ledger=ledger, struck=29.6, key=60.0, survivors=frozenset(range(10)), phases=(Phase("x", 0, 30.5),))
    )
    assert judgement.verdict is Verdict.BROKEN
    assert judgement.loss is not None
    assert judgement.loss.lost == tuple(range(10, 30))
    assert judgement.rpo == 20.0
    assert "20 acknowledged writes lost (10, 11, 12, 13, 14 ...)" in judgement.reasons[0]


def test_a_breach_without_a_witnessed_strike_is_unknown() -> None:
    assert judge(evidence(witnessed=False, survivors=frozenset())).verdict is Verdict.UNKNOWN


def test_an_unacknowledged_write_does_not_count_as_lost() -> None:
    ledger = Ledger.of([Write(0, 0.0, 0.5), Write(1, 1.0), Write(2, 2.0, 2.5)])
    loss = measure_loss(ledger, frozenset({0, 2}), fault=2.5)
    assert (loss.lost, loss.rpa, loss.acknowledged) == ((), 0.0, 2)


def test_without_acknowledged_writes_rpo_is_not_measured() -> None:
    assert measure_loss(Ledger(()), frozenset(), fault=1.0).rpa is None


def test_unattributed_time_lies_outside_all_phases() -> None:
    assert unattributed((Phase("a", 0.0, 2.0), Phase("b", 3.0, 4.0)), 5.0) == 2.0
    assert Phase("a", 1.0, 3.0).took == 2.0


WRITES = st.lists(st.tuples(st.floats(0, 5), st.booleans()), min_size=0, max_size=40)


@given(WRITES, st.sets(st.integers(0, 45)), st.floats(0, 400), st.booleans())
def test_never_kept_when_an_acknowledged_write_older_than_the_rpo_is_missing(
    gaps: list[tuple[float, bool]], survivors: set[int], key: float, witnessed: bool
) -> None:
    at, writes = 0.0, []
    for number, (gap, acked) in enumerate(gaps):
        at += gap
        writes.append(Write(number, at, at if acked else None))
    promise = replace(PROMISE, rpo=timedelta(0))
    judgement = judge(
        evidence(
            promise=promise,
            ledger=Ledger.of(writes),
            survivors=frozenset(survivors),
            struck=at,
            key=at + key,
            witnessed=witnessed,
            phases=(Phase("all", 0.0, 1e6),),
        )
    )
    acknowledged = {w.number for w in writes if w.acked is not None}
    newest = max((w.acked for w in writes if w.acked is not None), default=0.0)
    oldest_missing = min((w.acked for w in writes if w.acked is not None and w.number not in survivors), default=None)
    if acknowledged - survivors and oldest_missing is not None and oldest_missing < newest:
        assert judgement.verdict is not Verdict.KEPT
    if survivors - {w.number for w in writes}:
        assert judgement.verdict is not Verdict.KEPT
    if judgement.verdict is Verdict.KEPT:
        assert judgement.loss is not None
        assert not judgement.reasons
        assert not judgement.loss.everything
