"""Steps that check a Kubernetes cluster."""

from pytest_bdd import then

from harness.drill.drill import Drill
from harness.scenario.checks import cluster


@then("clients are served again")
def _(drill: Drill) -> None:
    cluster.require_served_again(drill)


@then("no acknowledged write is lost")
def _(drill: Drill) -> None:
    cluster.require_none_lost(drill)


@then("egress traffic of the DR cluster is blocked")
def _(drill: Drill) -> None:
    cluster.require_egress_filtered(drill)
