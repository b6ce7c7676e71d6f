"""The checks of the Then steps fail on what they are there to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import NoReturn

import pytest

from harness.core.errors import BackupFailed, Finding, HarnessError, Refused, UsageError
from harness.core.record import DrillRecord, KeyResult
from harness.drill.drill import Drill
from harness.recovery.key_functions import ROUNDS
from harness.scenario.attempts import attempted, require_named
from harness.scenario.checks import backup, recovery, verdict
from harness.scenario.faults.catalog import CATALOG, find
from harness.scenario.faults.fault import When
from harness.substrate.existing.site import NOT_DRILLED
from tests.memory_drill import start
from tests.memory_estate import MemoryEstate
from tests.substrate.fake import Outcome


@pytest.fixture
def recovered(drill: Drill) -> Iterator[Drill]:
    """A drill that struck and recovered."""
    start(drill)
    drill.back_up()
    drill.strike()
    drill.recover()
    yield drill
    drill.close()


def raising(error: Exception) -> Callable[[], NoReturn]:
    def work() -> NoReturn:
        raise error

    return work


def test_a_refusal_must_be_for_the_reason_that_is_named() -> None:
    verdict.require_refused(raising(Refused("strike refused: identity")), Refused, "strike refused")
    with pytest.raises(Finding, match="refused, but for another reason: no room"):
        verdict.require_refused(raising(Refused("no room")), Refused, "strike refused")
    with pytest.raises(Finding, match="not refused: strike refused"):
        verdict.require_refused(lambda: None, Refused, "strike refused")
    with pytest.raises(BackupFailed):
        verdict.require_refused(raising(BackupFailed("another error")), Refused, "error")


def test_a_failure_must_match_what_its_fault_names() -> None:
    fault = find("the DR database server is not empty")
    require_named(fault, "the target already contains foreign_database; restore onto an empty server")
    for failure in ("", "the target is PostgreSQL 17"):
        with pytest.raises(Finding, match="its failure does not match"):
            require_named(fault, failure)
    with pytest.raises(Finding, match="its failure does not match ''"):
        require_named(replace(fault, named=""), "any failure")


@pytest.mark.parametrize("fault", [f for f in CATALOG.values() if f.when not in (When.NOW, When.STRIKE)], ids=str)
def test_every_fault_of_an_attempt_names_what_it_causes(fault: SimpleNamespace) -> None:
    assert fault.named or fault.phrase in ("a control plane that is unavailable for ten seconds",)


def test_a_fault_that_does_not_suit_the_step_is_refused() -> None:
    with pytest.raises(UsageError, match="does not fit 'a backup'"):
        attempted("a backup", "the DR database server is killed")
    with pytest.raises(UsageError, match="'a nap' cannot be attempted"):
        attempted("a nap", "a flipped bit")


def test_outbound_actions_were_contained_before_any_start(recovered: Drill) -> None:
    recovery.require_contained(recovered)


def change_events(drill: Drill, change: Callable[[SimpleNamespace], bool]) -> None:
    """Keep those events of the journal that `change` returns true for; it may change them."""
    events = [
        SimpleNamespace(**{name: getattr(event, name) for name in event.__slots__}) for event in drill.journal.events
    ]
    drill.journal = SimpleNamespace(events=tuple(event for event in events if change(event)))


def never_contained(event: SimpleNamespace) -> bool:
    return bool(event.kind != "contained")


def says_nothing(event: SimpleNamespace) -> bool:
    if event.kind == "contained":
        event.facts = {"actions": ""}
    return True


def too_late(event: SimpleNamespace) -> bool:
    event.at += 1000.0 if event.kind == "contained" else 0.0
    return True


def never_started(event: SimpleNamespace) -> bool:
    return bool(event.kind != "starting")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (never_contained, r"contained: \[\]; expected: \['shop'\]"),
        (says_nothing, "the journal names no contained action of shop"),
        (too_late, "a service was started before it was contained"),
        (never_started, "no service was started on the DR site"),
    ],
)
def test_a_containment_that_was_not_shown_is_a_finding(
    recovered: Drill, change: Callable[[SimpleNamespace], bool], said: str
) -> None:
    change_events(recovered, change)
    with pytest.raises(Finding, match=said):
        recovery.require_contained(recovered)


def test_a_message_that_nobody_queued_is_a_finding(recovered: Drill) -> None:
    sent = [SimpleNamespace(reference=reference) for reference in ("example-1", "ledger-2", "invoice-7")]
    recovered.environment.receiver.deliveries = sent  # type: ignore[assignment, misc]
    with pytest.raises(Finding, match="sent messages of unknown senders: invoice-7"):
        recovery.require_contained(recovered)


def test_an_estate_with_nothing_to_contain_shows_nothing(recovered: Drill) -> None:
    recovered.environment.services = ()
    with pytest.raises(Finding, match="this estate has no service with outbound actions: inconclusive"):
        recovery.require_contained(recovered)


def results(record: DrillRecord, **changes: object) -> DrillRecord:
    first, *rest = record.key_results
    return replace(record, key_results=(replace(first, **changes), *rest))  # type: ignore[arg-type]


def test_key_functions_must_have_passed_in_every_round(recovered: Drill) -> None:
    record = recovered.conclude()
    recovery.require_key_functions_passed(record, "shop")
    with pytest.raises(Finding, match="no key function of odoo was tested"):
        recovery.require_key_functions_passed(record, "odoo")
    with pytest.raises(Finding, match="key functions of shop failed: the shop answers"):
        recovery.require_key_functions_passed(results(record, passed=False), "shop")
    with pytest.raises(Finding, match=f"tested in fewer than {ROUNDS} rounds: the shop answers"):
        recovery.require_key_functions_passed(replace(record, key_results=record.key_results[:-1]), "shop")
    assert isinstance(record.key_results[0], KeyResult)


def test_a_verdict_must_be_the_one_that_is_named_and_for_its_reason(recovered: Drill) -> None:
    record = recovered.conclude()
    verdict.require_verdict(record, "KEPT")
    broken = replace(record, verdict="BROKEN", reasons=("RTO missed: 9 s of 5 s",))
    verdict.require_verdict(broken, "BROKEN", "RTO missed")
    with pytest.raises(Finding, match="judged BROKEN, but not because of RPO missed"):
        verdict.require_verdict(broken, "BROKEN", "RPO missed")
    with pytest.raises(Finding, match="judged BROKEN, not KEPT"):
        verdict.require_verdict(broken, "KEPT")
    with pytest.raises(HarnessError, match="judged UNKNOWN, not KEPT: no reason given"):
        verdict.require_verdict(replace(record, verdict="UNKNOWN"), "KEPT")


def test_a_record_without_what_an_auditor_looks_for_is_a_finding(recovered: Drill) -> None:
    with pytest.raises(Finding, match="the record lacks commit, hashes"):
        verdict.require_whole_record(recovered.conclude())
    with pytest.raises(Finding, match=r"messages not seen: 1\.1"):
        verdict.require_all_messages(recovered.conclude(), recovered.environment.config)


def test_a_recovery_that_did_not_stop_where_it_should_is_a_finding(recovered: Drill) -> None:
    with pytest.raises(Finding, match="did not stop in fetch or open but in none"):
        recovery.require_stopped(recovered, ["fetch", "open"])
    with pytest.raises(Finding, match="no key function 'stock' failed"):
        recovery.require_key_function_failed(recovered, "stock")


def test_the_failure_of_a_backup_is_compared_with_its_log(drill: Drill, memory_estate: MemoryEstate) -> None:
    start(drill)
    memory_estate.servers.ends["pg_dump"] = Outcome(1, errors="pg_dump: error: aborted")
    failure = drill.attempt(drill.back_up)
    backup.require_failure_logged(drill, failure)
    with pytest.raises(Finding, match="the log says"):
        backup.require_failure_logged(drill, "another failure")
    with pytest.raises(Finding, match=r"message 1\.6 was not logged"):
        backup.require_logged(drill, "1.6")
    backup.require_only(drill, [])
    with pytest.raises(Finding, match="the alert was not sent"):
        backup.require_alert(drill)
    drill.close()


# What stands in the records of existing sites -> a word of the fault that drills inject elsewhere.
ELSEWHERE = {"strike": "strike", "freeze": "freeze", "network partition": "partition", "full disk": "full"}


def test_only_faults_that_are_drilled_elsewhere_are_named_as_not_drilled() -> None:
    named = [line.partition(":")[0] for line in NOT_DRILLED]
    assert set(named) <= set(ELSEWHERE), "say here by which fault it is drilled elsewhere"
    absent = [name for name in named if not any(ELSEWHERE[name] in phrase for phrase in CATALOG)]
    assert not absent
