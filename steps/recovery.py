"""Steps of the site loss and of the recovery phases; each passes its result to the next."""

from pytest_bdd import then, when

from harness.drill.drill import Drill
from harness.recovery.recovery import Activated, Selected, Started, Switched
from harness.recovery.restore import Restored
from harness.scenario import outward


@when("the primary site is lost")
def _(drill: Drill) -> None:
    drill.strike()


@when("the DR infrastructure is activated", target_fixture="activated")
def _(drill: Drill) -> Activated:
    return drill.recovery.activate()


@when("the latest valid backup is selected", target_fixture="selected")
def _(drill: Drill, activated: Activated) -> Selected:
    drill.selected = drill.recovery.select(activated)
    return drill.selected


@when("the databases are restored on the DR site", target_fixture="restored")
def _(drill: Drill, selected: Selected) -> Restored:
    return drill.restore(selected)


@when("the critical services are started on the DR site", target_fixture="started")
def _(drill: Drill, restored: Restored) -> Started:
    return drill.recovery.start(restored)


@when("traffic is switched to the DR site", target_fixture="switched")
def _(drill: Drill, started: Started) -> Switched:
    return drill.recovery.switch(started)


@when("every key function is tested through the front door")
def _(drill: Drill, switched: Switched) -> None:
    drill.tested = drill.recovery.test(switched)


@when("the estate is recovered")
def _(drill: Drill) -> None:
    drill.recover()


@when("recovery is attempted")
def _(drill: Drill) -> None:
    drill.attempt(drill.recover)


@when("the restored programs call an address outside", target_fixture="calls")
def _(drill: Drill) -> outward.Calls:
    return outward.call_outside(drill)


@then("no call got through the wall and each was counted")
def _(calls: outward.Calls) -> None:
    outward.require_refused(calls)
