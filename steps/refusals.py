"""What must be refused, passed over or found out."""

from __future__ import annotations

from pytest_bdd import given, parsers, then, when

from harness.core.errors import Refused
from harness.core.record import DrillRecord
from harness.drill.drill import Drill
from harness.repository.catalogue import Receipt
from harness.scenario.checks import recovery, verdict
from harness.scenario.faults import mistakes as misfortune


@given(parsers.parse("a newer backup with {damage}"), target_fixture="newer")
def _(drill: Drill, damage: str) -> Receipt:
    return misfortune.damaged_backup(drill, damage)


@given(parsers.parse("backups of which there is {word}"))
def _(drill: Drill, word: str) -> None:
    misfortune.NOTHING_USABLE[word](drill)


@when(parsers.parse("recovery is attempted while {word}"))
def _(drill: Drill, word: str) -> None:
    misfortune.recover_while(drill, word)


@when("a strike has no effect")
def _(drill: Drill) -> None:
    drill.strike(destroy=lambda _site: None)


@when("the site to be struck is not the drill's target")
def _(drill: Drill) -> None:
    misfortune.mistake_the_target(drill)


@when("the front door is given a bad configuration", target_fixture="refusal")
def _(drill: Drill) -> str:
    return misfortune.bad_front_door(drill)


@then("the strike is refused and clients are still served")
def _(drill: Drill) -> None:
    verdict.require_refused(drill.strike, Refused, "strike refused")
    misfortune.require_served_by(drill, "primary")


@then("it is refused, naming the mistake")
def _(refusal: str) -> None:
    verdict.require("nonsense" in refusal, f"the mistake is not named: {refusal}")


@then("clients are still served by the primary site")
def _(drill: Drill) -> None:
    misfortune.require_served_by(drill, "primary")


@then("the earlier backup was used", target_fixture="record")
def _(drill: Drill, earlier: Receipt) -> DrillRecord:
    record = drill.conclude()
    verdict.require_verdict(record, "KEPT")
    verdict.require(record.backup["id"] == earlier.backup_id, f"{record.backup['id']} was used")
    return record


@then("the record says why the newer one was not")
def _(record: DrillRecord, newer: Receipt) -> None:
    verdict.require(newer.backup_id in dict(record.passed_over), f"passed over: {record.passed_over}")


@then("the recovery stopped for want of a valid backup")
def _(drill: Drill) -> None:
    recovery.require_stopped(drill, ["select"])


@then("the recovery stopped at the restore")
def _(drill: Drill) -> None:
    recovery.require_stopped(drill, ["fetch", "open", "restore"])


@then("the recovery stopped because of the automation key")
def _(drill: Drill) -> None:
    verdict.require(any("n8n-key" in f for f in drill.findings), f"found instead: {drill.findings}")


@then("no service was started and no traffic switched")
def _(drill: Drill) -> None:
    recovery.require_nothing_started(drill)


@then(parsers.parse('the key function "{word}" failed'))
def _(drill: Drill, word: str) -> None:
    recovery.require_key_function_failed(drill, word)
