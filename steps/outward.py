"""Steps of calls outside: what restored programs reach, and what the wall counts."""

from pytest_bdd import then, when

from harness.drill.drill import Drill
from harness.scenario import outward


@when("the restored programs call an address outside", target_fixture="calls")
def _(drill: Drill) -> outward.Calls:
    return outward.call_outside(drill)


@then("no call got through the wall and each was counted")
def _(calls: outward.Calls) -> None:
    outward.require_refused(calls)
