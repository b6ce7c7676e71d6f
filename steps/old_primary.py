"""Steps of a primary that is not dead: it is frozen, or cut off and lives on."""

from pytest_bdd import then, when

from harness.core.record import DrillRecord
from harness.drill.drill import Drill
from harness.scenario.checks import old_primary
from harness.scenario.faults.fault import Scene
from harness.scenario.inside_clients import InsideClients, start_inside_clients


@when("clients inside the primary write on", target_fixture="inside")
def _(drill: Drill, scene: Scene) -> InsideClients:
    inside = start_inside_clients(drill)
    scene.later(inside.stop)
    return inside


@when("the writes of the old primary are read")
def _(drill: Drill) -> None:
    drill.read_old_primary()


@then("clients were acknowledged no write by the old primary")
def _(drill: Drill) -> None:
    old_primary.require_no_write_believed(drill)


@then("the old primary was fenced before traffic was switched")
def _(drill: Drill, inside: InsideClients) -> None:
    old_primary.require_fenced(drill, inside)


@then("the writes that only the old primary took are named by number")
def _(record: DrillRecord, inside: InsideClients) -> None:
    old_primary.require_diverged_named(record, inside)
