"""Steps of restores to a point in time: what clients write until then, the restore beside the site, the rows."""

from pytest_bdd import given, parsers, then, when

from harness.core.record import DrillRecord
from harness.scenario.checks.verdict import require_verdict
from harness.scenario.restores.points import Point, write_on, write_until
from harness.scenario.restores.restore import RestoreDrill
from steps.drill import OpenDrill


@given("a database under client load whose WAL is shipped", target_fixture="restores")
def _(open_drill: OpenDrill, promise_name: str) -> RestoreDrill:
    return RestoreDrill(open_drill("archived", promise_name)).start()


@given(parsers.re("a (?:further )?base backup"))
def _(restores: RestoreDrill) -> None:
    restores.back_up()


@given("an incremental backup of what clients wrote since")
def _(restores: RestoreDrill) -> None:
    write_on(restores.drill)
    restores.back_up(incremental=True)


@given("retention kept the newest two and removed the others")
def _(restores: RestoreDrill) -> None:
    restores.apply_retention(last=2)


@given("the key of the DR site was rotated and the old one withdrawn")
def _(restores: RestoreDrill) -> None:
    restores.rotate_key()


@when(parsers.parse("clients write until {point}, and go on"), target_fixture="point")
def _(restores: RestoreDrill, point: str) -> Point:
    return write_until(restores.drill, point)


@when("clients write a further segment of WAL")
def _(restores: RestoreDrill) -> None:
    restores.write_segment()


@when("clients write on")
def _(restores: RestoreDrill) -> None:
    write_on(restores.drill)


@when(parsers.re("the databases are restored (?:to that point|as far as the WAL goes)"))
def _(restores: RestoreDrill, point: Point) -> None:
    restores.restore(point)


@when("the databases are restored to their newest state")
def _(restores: RestoreDrill) -> None:
    restores.restore(None)


@when("the databases are restored to that point from the oldest backup that is left")
def _(restores: RestoreDrill, point: Point) -> None:
    restores.restore(point, restores.oldest)


@then(parsers.parse("the restore is judged {verdict:w}"), target_fixture="record")
def _(restores: RestoreDrill, verdict: str) -> DrillRecord:
    record = restores.conclude()
    require_verdict(record, verdict)
    return record


@then("what clients wrote before that point is there, and nothing that they wrote after it")
def _(restores: RestoreDrill) -> None:
    restores.require_rows(both=True)


@then("all that clients wrote is there")
def _(restores: RestoreDrill) -> None:
    restores.require_rows(both=False)


@then("the newest incremental backup was restored with all that it builds on")
def _(restores: RestoreDrill) -> None:
    restores.require_chain()
