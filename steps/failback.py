"""Steps of the failback: clients are led back from DR to the rebuilt primary site."""

from pytest_bdd import given, then, when

from harness.core.record import DrillRecord
from harness.drill import failback
from harness.drill.drill import Drill
from harness.scenario.checks import recovery
from harness.scenario.checks.failback import recovered, require_nothing_lost
from harness.scenario.faults.fault import Scene


@given("the primary site was lost and the estate recovered on the DR site", target_fixture="recovered_drill")
def _(drill: Drill) -> Drill:
    return recovered(drill)


@when("clients write to the DR site", target_fixture="drill")
def _(recovered_drill: Drill, scene: Scene) -> Drill:
    scene.opened = failback.begin_failback(recovered_drill)
    failback.start_clients(scene.opened, recovered_drill)
    return scene.opened


@when("the daily backup of the DR site has run")
def _(drill: Drill) -> None:
    drill.back_up_on_schedule()


@when("the DR site is taken out of service")
def _(drill: Drill) -> None:
    failback.close_dr(drill)


@when("the rebuilt primary site recovers from the last backup of the DR site")
def _(drill: Drill) -> None:
    failback.lead_back(drill)


@then("clients are served by the rebuilt primary site")
def _(drill: Drill) -> None:
    recovery.require_served_by(drill, "primary")


@then("nothing that clients wrote to the DR site is lost")
def _(record: DrillRecord) -> None:
    require_nothing_lost(record)
