"""Backup and restore drill as the clusters' own work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_bdd import given, then, when

from harness.drill.drill import Drill

if TYPE_CHECKING:
    from harness.scenario.cluster_jobs import Fired, InCluster

OpenDrill = Callable[[str, str], Drill]


@given("a primary cluster with data to protect", target_fixture="clusters")
def _(open_drill: OpenDrill, promise_name: str) -> Iterator[InCluster]:
    # Clients of engines and clusters take a second to import: drills that need none do without.
    from harness.scenario.cluster_jobs import InCluster  # noqa: PLC0415

    clusters = InCluster(open_drill("example", promise_name))
    with closing(clusters):
        yield clusters.stand()


@given("the primary cluster backs itself up")
def _(clusters: InCluster) -> None:
    clusters.schedule_backup()


@given("a DR cluster at rest that is listed as a drill target")
def _(clusters: InCluster) -> None:
    clusters.schedule_rehearsal(listed=True)


@given("a DR cluster at rest that is not listed as a drill target")
def _(clusters: InCluster) -> None:
    clusters.schedule_rehearsal(listed=False)


@when("the daily backup comes due", target_fixture="fired")
def _(clusters: InCluster) -> Fired:
    return clusters.backup_fired()


@when("the restore drill comes due", target_fixture="fired")
def _(clusters: InCluster) -> Fired:
    return clusters.rehearsal_fired()


@then("it succeeded and its backup is in the offsite repository")
def _(clusters: InCluster, fired: Fired) -> None:
    clusters.require_backed_up(fired)


@then("its verdict is KEPT")
def _(clusters: InCluster, fired: Fired) -> None:
    clusters.require_verdict(fired, "KEPT")


@then("the restore drill is refused, naming its cluster")
def _(clusters: InCluster, fired: Fired) -> None:
    clusters.require_refused(fired, "cluster")


@then("the DR cluster is at rest again")
def _(clusters: InCluster) -> None:
    clusters.require_at_rest()


@then("nothing was scaled up")
def _(clusters: InCluster) -> None:
    clusters.require_never_scaled()
