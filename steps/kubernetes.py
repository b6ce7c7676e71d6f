"""Steps that check a Kubernetes cluster, and those of backups and restore tests that run there as CronJobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_bdd import given, then, when

from harness.drill.drill import Drill
from harness.scenario.checks import cluster

if TYPE_CHECKING:
    from harness.scenario.cluster_jobs import ClusterJobs, Fired

OpenDrill = Callable[[str, str], Drill]


@given("a primary cluster with data to protect", target_fixture="clusters")
def _(open_drill: OpenDrill, promise_name: str) -> Iterator[ClusterJobs]:
    # Imported here because the Kubernetes client takes a second to import.
    from harness.scenario.cluster_jobs import ClusterJobs  # noqa: PLC0415

    clusters = ClusterJobs(open_drill("example", promise_name))
    with closing(clusters):
        yield clusters.start()


@given("a CronJob of the primary cluster takes its backup")
def _(clusters: ClusterJobs) -> None:
    clusters.schedule_backup()


@given("a DR cluster that is scaled to zero and listed as a drill target")
def _(clusters: ClusterJobs) -> None:
    clusters.schedule_restore_test(listed=True)


@given("a DR cluster that is scaled to zero and not listed as a drill target")
def _(clusters: ClusterJobs) -> None:
    clusters.schedule_restore_test(listed=False)


@when("the CronJob of the backup fires", target_fixture="fired")
def _(clusters: ClusterJobs) -> Fired:
    return clusters.backup_fired()


@when("the CronJob of the restore test fires", target_fixture="fired")
def _(clusters: ClusterJobs) -> Fired:
    return clusters.restore_test_fired()


@then("the Job succeeded and its backup is in the offsite repository")
def _(clusters: ClusterJobs, fired: Fired) -> None:
    clusters.require_backed_up(fired)


@then("its verdict is KEPT")
def _(clusters: ClusterJobs, fired: Fired) -> None:
    clusters.require_verdict(fired, "KEPT")


@then("the restore test is refused, naming its cluster")
def _(clusters: ClusterJobs, fired: Fired) -> None:
    clusters.require_refused(fired, "cluster")


@then("the DR cluster is scaled to zero again")
def _(clusters: ClusterJobs) -> None:
    clusters.require_scaled_to_zero()


@then("nothing was scaled up")
def _(clusters: ClusterJobs) -> None:
    clusters.require_never_scaled()


@then("clients are served again")
def _(drill: Drill) -> None:
    cluster.require_served_again(drill)


@then("no acknowledged write is lost")
def _(drill: Drill) -> None:
    cluster.require_none_lost(drill)


@then("egress traffic of the DR cluster is blocked")
def _(drill: Drill) -> None:
    cluster.require_egress_filtered(drill)
