"""Steps that check refusals, stopped recoveries and failed key functions."""

from pytest_bdd import parsers, then

from harness.core.errors import Refused
from harness.core.record import DrillRecord
from harness.drill.drill import Drill
from harness.repository.catalogue import Receipt
from harness.scenario.checks import recovery
from harness.scenario.checks.verdict import require, require_refused, require_verdict


@then("the strike is refused and clients are still served")
def _(drill: Drill) -> None:
    require_refused(drill.strike, Refused, "strike refused")
    recovery.require_served_by(drill, "primary")


@then("clients are still served by the primary site")
def _(drill: Drill) -> None:
    recovery.require_served_by(drill, "primary")


@then("the earlier backup was restored", target_fixture="record")
def _(drill: Drill, earlier: Receipt) -> DrillRecord:
    record = drill.conclude()
    require_verdict(record, "KEPT")
    require(record.backup["id"] == earlier.backup_id, f"{record.backup['id']} was used")
    return record


@then("the record says why the newer backup was passed over")
def _(record: DrillRecord, newer: Receipt) -> None:
    require(dict(record.passed_over).get(newer.backup_id), f"passed over: {record.passed_over}")


@then("the files are from the earlier backup")
def _(record: DrillRecord, earlier: Receipt) -> None:
    require(record.backup["id"] == earlier.backup_id, f"{record.backup['id']} was used")


@then("the record names what was passed over")
def _(record: DrillRecord) -> None:
    require(record.passed_over, "the record names no backup that was passed over")


@then("the record names the newer backup as deleted")
def _(record: DrillRecord, newer: Receipt) -> None:
    named = [reason for reason in record.reasons if newer.backup_id in reason and "it was deleted" in reason]
    require(named, f"reasons: {record.reasons}")


@then(parsers.parse('the record names "{text}"'))
def _(record: DrillRecord, text: str) -> None:
    require([reason for reason in record.reasons if text in reason], f"reasons: {record.reasons}")


@then("the recovery stopped because no backup is valid")
def _(drill: Drill) -> None:
    recovery.require_stopped(drill, ["select"])


@then("the recovery stopped at the restore")
def _(drill: Drill) -> None:
    recovery.require_stopped(drill, ["fetch", "open", "restore"])


@then("no service was started and no traffic switched")
def _(drill: Drill) -> None:
    recovery.require_nothing_started(drill)


@then(parsers.parse('the key function "{word}" failed'))
def _(drill: Drill, word: str) -> None:
    recovery.require_key_function_failed(drill, word)
