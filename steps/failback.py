"""Steps of the failback: clients are led back from DR to the rebuilt primary site."""

from collections.abc import Callable

from pytest_bdd import given, parsers, then, when

from harness.core.judge import Promise
from harness.core.record import DrillRecord
from harness.drill import failback
from harness.drill.drill import Drill
from harness.estate.config import Config
from harness.scenario import returning
from harness.scenario.checks import recovery
from harness.scenario.checks.failback import recovered, require_nothing_lost
from harness.scenario.faults.fault import Scene


@given("the primary site was lost and the estate recovered on the DR site", target_fixture="recovered_drill")
def _(drill: Drill) -> Drill:
    return recovered(drill)


@given("the primary site was fenced and the estate recovered on the DR site", target_fixture="recovered_drill")
def _(drill: Drill) -> Drill:
    return returning.recovered_behind_a_fence(drill)


@given("the old primary took a write that nobody else has")
def _(recovered_drill: Drill) -> None:
    returning.write_alone(recovered_drill)


@given("only the data of its database server are kept")
def _(recovered_drill: Drill) -> None:
    failback.keep_data(recovered_drill)


@given(parsers.parse('the way back has the "{name}" promise'), target_fixture="way_back")
def _(recovered_drill: Drill, promise_for: Callable[[Config, str], Promise], name: str) -> Promise:
    return promise_for(recovered_drill.environment.config, name)


@when("clients write to the DR site, under the promise of the way back", target_fixture="drill")
def _(recovered_drill: Drill, scene: Scene, way_back: Promise) -> Drill:
    return begun(recovered_drill, scene, way_back)


@when("the old primary's database server is rewound and follows the DR site")
def _(drill: Drill) -> None:
    failback.follow_dr(drill)


@when("clients write to the DR site", target_fixture="drill")
def _(recovered_drill: Drill, scene: Scene) -> Drill:
    return begun(recovered_drill, scene)


@when("the daily backup of the DR site has run")
def _(drill: Drill) -> None:
    drill.back_up_on_schedule()


@when("the DR site is taken out of service")
def _(drill: Drill) -> None:
    failback.close_dr(drill)


@when("the rebuilt primary site recovers from the last backup of the DR site")
def _(drill: Drill) -> None:
    failback.lead_back(drill)


@when("the rebuilt primary site takes over with the rewound server and the last backup of the DR site")
def _(drill: Drill) -> None:
    failback.lead_back(drill)


@then("the databases are those of the rewound server")
def _(record: DrillRecord) -> None:
    recovery.require_restored_from(record, "rewound")


@then("nothing that the old primary took alone has come back")
def _(drill: Drill) -> None:
    returning.require_nothing_alone(drill)


@then("clients are served by the rebuilt primary site")
def _(drill: Drill) -> None:
    recovery.require_served_by(drill, "primary")


@then("nothing that clients wrote to the DR site is lost")
def _(record: DrillRecord) -> None:
    require_nothing_lost(record)


def begun(recovered: Drill, scene: Scene, promise: Promise | None = None) -> Drill:
    """Begin the way back, in the scene, which closes it; return its drill. Raises Refused, HarnessError."""
    scene.opened = failback.begin_failback(recovered, promise)
    failback.start_clients(scene.opened, recovered)
    return scene.opened
