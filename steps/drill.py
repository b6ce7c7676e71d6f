"""Steps shared by all drills: promises, healthy estates, verdicts."""

from collections.abc import Callable

from pytest_bdd import given, parsers, then

from harness.core.record import DrillRecord
from harness.drill.drill import Drill
from harness.scenario.checks import recovery
from harness.scenario.checks import verdict as judged

OpenDrill = Callable[..., Drill]


@given(parsers.parse('the "{name}" promise'), target_fixture="promise_name")
def _(name: str) -> str:
    return name


@given("a healthy estate under client load", target_fixture="drill")
def _(open_drill: OpenDrill, promise_name: str) -> Drill:
    return started(open_drill("example", promise_name))


@given(parsers.re(r"a healthy (?P<estate>\w+) estate under client load"), target_fixture="drill")
def _(open_drill: OpenDrill, promise_name: str, estate: str) -> Drill:
    return started(open_drill(estate, promise_name))


@given("a healthy estate with dumps alone under client load", target_fixture="drill")
def _(open_drill: OpenDrill, promise_name: str) -> Drill:
    return started(open_drill("example", promise_name, "logical"))


@given("the standby follows the primary")
def _(drill: Drill) -> None:
    drill.environment.await_standby()


@given("an estate with data to protect", target_fixture="drill")
def _(open_drill: OpenDrill) -> Drill:
    drill = open_drill("data", "site loss, one machine")
    drill.environment.start_data()
    return drill


def started(drill: Drill) -> Drill:
    """Start the whole estate and its client load; return the drill. Raises HarnessError."""
    drill.start()
    return drill


@then("the promise is kept", target_fixture="record")
def _(drill: Drill) -> DrillRecord:
    record = drill.conclude()
    judged.require_verdict(record, "KEPT")
    return record


@then(parsers.parse("the drill is judged {verdict:w}"), target_fixture="record")
def _(drill: Drill, verdict: str) -> DrillRecord:
    record = drill.conclude()
    judged.require_verdict(record, verdict)
    return record


@then(parsers.parse("the drill is judged BROKEN because of the {objective:w}"), target_fixture="record")
def _(drill: Drill, objective: str) -> DrillRecord:
    record = drill.conclude()
    judged.require_verdict(record, "BROKEN", f"{objective} missed")
    return record


@then("every message of the mission was seen")
def _(record: DrillRecord, drill: Drill) -> None:
    judged.require_all_messages(record, drill.environment.config)


@then("outbound actions were contained")
def _(drill: Drill) -> None:
    recovery.require_contained(drill)


@then("the record is complete")
def _(record: DrillRecord) -> None:
    judged.require_whole_record(record)


@then("the lost writes are named by number")
def _(record: DrillRecord) -> None:
    judged.require(record.lost, "writes were lost and none is named")


@then("the databases were restored in the mode that the estate declares")
def _(record: DrillRecord, drill: Drill) -> None:
    recovery.require_declared_mode(record, drill.environment.config)


@then("the databases are those of the standby")
def _(record: DrillRecord) -> None:
    recovery.require_restored_from(record, "standby")


@then("the databases were restored from the dumps")
def _(record: DrillRecord) -> None:
    recovery.require_restored_from(record, "logical")


@then(parsers.parse('the key function of "{service}" passed'))
def _(record: DrillRecord, service: str) -> None:
    recovery.require_key_functions_passed(record, service)
