"""Steps of a primary that is not dead: it is frozen, cut off and lives on, or fenced and comes back."""

from pytest_bdd import then, when

from harness.core.record import DrillRecord
from harness.core.service import Sql
from harness.drill.drill import Drill
from harness.scenario import returning
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


@when("the primary site is lost to a fence that destroys nothing")
def _(drill: Drill) -> None:
    returning.lose_to_a_fence(drill)


@when("the old primary takes a write that nobody else has")
def _(drill: Drill) -> None:
    returning.write_alone(drill)


@when("the old primary is rewound and started as a standby of the DR site", target_fixture="returned")
def _(drill: Drill) -> Sql:
    return returning.rewind_primary(drill)


@then("the old primary has every write of the DR site and not its own one")
def _(drill: Drill, returned: Sql) -> None:
    returning.require_follows(drill, returned)


@when("the DR site is fenced and the old primary is promoted")
def _(drill: Drill, returned: Sql) -> None:
    returning.promote(drill, returned)


@then("the old primary takes writes again and has all that the DR site acknowledged")
def _(drill: Drill, returned: Sql) -> None:
    returning.require_takes_writes(drill, returned)
