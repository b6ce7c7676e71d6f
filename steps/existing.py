"""Steps of restore tests from the repository of another estate."""

from collections.abc import Callable, Iterator
from contextlib import closing

from pytest_bdd import given, parsers, then, when

from harness.core.record import DrillRecord
from harness.drill.drill import Drill
from harness.scenario.checks.verdict import require_verdict
from harness.scenario.faults.fault import Scene
from harness.scenario.foreign_repository import ForeignRepository

OpenDrill = Callable[[str, str], Drill]


@given("a repository of another estate", target_fixture="foreign")
def _(open_drill: OpenDrill, promise_name: str, scene: Scene) -> Iterator[ForeignRepository]:
    scene.foreign = ForeignRepository(open_drill("notification", promise_name))
    with closing(scene.foreign):
        yield scene.foreign.write()


@given("an existing DR site on the allowlist of drill targets")
def _(foreign: ForeignRepository) -> None:
    foreign.prepare_existing_site()


@when("its newest backup is restore-tested on a new DR site", target_fixture="record")
def _(foreign: ForeignRepository) -> DrillRecord:
    return foreign.run_on_new_site()


@when("its newest backup is restore-tested on that DR site", target_fixture="record")
def _(foreign: ForeignRepository) -> DrillRecord:
    return foreign.run_on_existing_site()


@then(parsers.parse("the restore test is judged {judged:w}"))
def _(record: DrillRecord, judged: str) -> None:
    require_verdict(record, judged)


@then(parsers.parse('the restore test is refused, naming "{what}"'))
def _(foreign: ForeignRepository, what: str) -> None:
    require_verdict(foreign.record, "UNKNOWN", what)


@then("the record names what was not drilled")
def _(foreign: ForeignRepository, record: DrillRecord) -> None:
    foreign.require_named(record)


@then("the repository and the other estate are unchanged")
def _(foreign: ForeignRepository) -> None:
    foreign.require_untouched()


@then("the DR site was cleaned up")
def _(foreign: ForeignRepository) -> None:
    foreign.require_cleared()


@then("nothing was written to the DR site")
def _(foreign: ForeignRepository) -> None:
    foreign.require_unwritten()
