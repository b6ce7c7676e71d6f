"""The checks of clusters and of the Jobs in them fail on what they are there to find. No cluster is needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import Finding, HarnessError, TookTooLong
from harness.core.service import Answer
from harness.scenario.checks import cluster
from harness.scenario.cluster_jobs import BACKUP, RESTORE_TEST, ClusterJobs, Fired


def workload(name: str, replicas: int, generation: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name, "generation": generation}, "spec": {"replicas": replicas}}


class Jobs(ClusterJobs):
    """Jobs of clusters whose workloads are `found` by kind, and whose repository has the backups `there`."""

    found: dict[str, list[dict[str, Any]]]
    there: frozenset[str] = frozenset({"old", "new"})

    @property
    def kind(self) -> Any:
        api = SimpleNamespace(find=lambda kind: self.found.get(kind, []))
        return SimpleNamespace(cluster_site=lambda _name: SimpleNamespace(api=api))

    def listed(self) -> frozenset[str]:
        return self.there


@pytest.fixture
def jobs() -> Jobs:
    made = Jobs(SimpleNamespace())  # type: ignore[arg-type]
    made._backups = frozenset({"old"})
    made.found = {"Deployment": [workload("shop", 0)], "StatefulSet": [workload("agent-files", 1)]}
    return made


def fired(owner: str, *, succeeded: bool = True, **last: str) -> Fired:
    return Fired("one-7", f"CronJob/{owner}", succeeded, (last,))


def test_a_backup_of_a_cronjob_must_be_its_own_have_succeeded_and_be_there(jobs: Jobs) -> None:
    jobs.require_backed_up(fired(BACKUP, backup="new"))
    for done, said in (
        (fired("another", backup="new"), "one-7 was started by CronJob/another"),
        (fired(BACKUP, succeeded=False, backup="new"), "one-7 failed"),
        (fired(BACKUP, backup="old"), r"the receipt is .*; new in the repository: \['new'\]"),
    ):
        with pytest.raises(Finding, match=said):
            jobs.require_backed_up(done)


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (fired(BACKUP, verdict="KEPT"), f"one-7 was started by CronJob/{BACKUP}"),
        (fired(RESTORE_TEST, verdict="BROKEN"), "one-7: {'verdict': 'BROKEN'}"),
        (fired(RESTORE_TEST, succeeded=False, verdict="KEPT"), "its status does not fit the verdict KEPT"),
    ],
)
def test_a_restore_test_of_a_cronjob_must_have_its_verdict_and_exit_code(jobs: Jobs, done: Fired, said: str) -> None:
    jobs.require_verdict(fired(RESTORE_TEST, verdict="KEPT"), "KEPT")
    with pytest.raises(Finding, match=said):
        jobs.require_verdict(done, "KEPT")


def test_a_refusal_must_name_what_is_wrong_and_be_unknown(jobs: Jobs) -> None:
    said = "refused as a drill target: its cluster is another"
    jobs.require_refused(fired(RESTORE_TEST, succeeded=False, verdict="UNKNOWN", error=said), "cluster")
    with pytest.raises(Finding, match="bucket is not named"):
        jobs.require_refused(fired(RESTORE_TEST, succeeded=False, verdict="UNKNOWN", error=said), "bucket")
    with pytest.raises(Finding, match="'verdict': 'KEPT'"):
        jobs.require_refused(fired(RESTORE_TEST, verdict="KEPT", error=said), "cluster")


def test_a_workload_that_runs_or_was_changed_is_a_finding(jobs: Jobs) -> None:
    jobs._generations = {"shop": 1}
    jobs.require_never_scaled()
    jobs.found["Deployment"] = [workload("shop", 0, generation=3)]
    jobs.require_scaled_to_zero()
    with pytest.raises(Finding, match="changed although the restore test was refused: shop"):
        jobs.require_never_scaled()
    jobs.found["Deployment"] = [workload("shop", 2)]
    for check in (jobs.require_scaled_to_zero, jobs.require_never_scaled):
        with pytest.raises(Finding, match="not scaled to zero: shop"):
            check()


class Written(list[Any]):
    """The writes of clients: those before, and when they are asked again, `more`."""

    def __init__(self, more: list[float | None]) -> None:
        super().__init__()
        self.more = [SimpleNamespace(acked=one) for one in more]

    def __getitem__(self, which: Any) -> Any:
        return self.more[which]


def served(monkeypatch: pytest.MonkeyPatch, by: str, more: list[float | None]) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.cluster_heals", 0.02)
    door = SimpleNamespace(request=lambda *_words, **_more: Answer(200, b"", {"x-site": by}))
    ledger = SimpleNamespace(ledger=SimpleNamespace(writes=Written(more)))
    drill = SimpleNamespace(ledger=ledger, environment=SimpleNamespace(door=door))
    cluster.require_served_again(drill)  # type: ignore[arg-type]


def test_clients_are_served_again_after_ten_writes_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, "primary", [None, *[1.0] * 10, None])
    with pytest.raises(TookTooLong, match="clients are answered by dr"):
        served(monkeypatch, "dr", [1.0] * 10)
    for more in ([1.0] * 9, [*[1.0] * 5, None, *[1.0] * 9]):
        with pytest.raises(TookTooLong, match="clients' writes are not acknowledged"):
            served(monkeypatch, "primary", more)  # type: ignore[arg-type]


def test_the_egress_filter_of_a_substrate_without_clusters_is_not_tested() -> None:
    drill = SimpleNamespace(environment=SimpleNamespace(substrate=SimpleNamespace(name="embedded")))
    with pytest.raises(HarnessError, match="no clusters: the egress filter of DR cannot be tested"):
        cluster.require_egress_filtered(drill)  # type: ignore[arg-type]


def test_a_lost_write_is_named_by_its_number() -> None:
    writes = (SimpleNamespace(number=1), SimpleNamespace(number=2))
    found = frozenset({1, 2})
    drill: Any = SimpleNamespace(
        writer=SimpleNamespace(stop=lambda: None),
        load=SimpleNamespace(survivors=lambda _door, _secrets: found),
        ledger=SimpleNamespace(ledger=SimpleNamespace(acknowledged=lambda: writes)),
        environment=SimpleNamespace(door=None, secrets=SimpleNamespace(of=lambda _site: {})),
    )
    cluster.require_none_lost(drill)
    found = frozenset({1})
    with pytest.raises(Finding, match="acknowledged writes are lost: 2"):
        cluster.require_none_lost(drill)
    drill.writer = None
    with pytest.raises(HarnessError, match="no client load was running"):
        cluster.require_none_lost(drill)
