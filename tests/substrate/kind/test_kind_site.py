"""Failures of a site on kind, without a cluster: its API server and its node are scripts."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from harness.core.clock import NotYet
from harness.core.errors import HarnessError, NodeExited
from harness.core.node import Task
from harness.kubernetes import cluster as clusters
from harness.kubernetes.api import Api
from harness.kubernetes.cluster import Cluster, Plan
from harness.kubernetes.deploy import Manifests
from harness.kubernetes.machine import Machine as Node
from harness.kubernetes.objects import NAME, Manifest, Pod, pod_of
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.containers.workspace import workspace_of
from harness.substrate.embedded.undo_journal import UndoJournal
from harness.substrate.kind import task as kind_task
from harness.substrate.kind import volume as kind_agent
from harness.substrate.kind.manifests import filled
from harness.substrate.kind.namespace import ClusterNamespace, NodePorts
from harness.substrate.kind.site import KindSite
from harness.substrate.kind.volume import TOKEN, agent_spec, close_volume, open_volume

SECRET = "canary-3b9d11"
PORTS = {30_000: 20_000, 30_001: 20_001}


def pod(state: Manifest, phase: str = "Running") -> Manifest:
    status = {"phase": phase, "containerStatuses": [{"name": "task", "state": state}]}
    return {"metadata": {"name": "task-1", "labels": {NAME: "task-1"}}, "status": status}


RUNS = pod({"running": {}})


@dataclass
class Script(Api):
    """An API that answers what it was told, the last of it for ever; `deleted`: what it was asked to delete."""

    said: list[bytes] = field(default_factory=lambda: [b""])
    states: list[Manifest | None] = field(default_factory=lambda: [RUNS])
    deleted: list[tuple[str, str]] = field(default_factory=list)

    def logs(self, pod: str, container: str = "", *, tail: int | None = None, previous: bool = False) -> bytes:
        return self.said.pop(0) if len(self.said) > 1 else self.said[0]

    def get(self, kind: str, name: str) -> Manifest | None:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def pods(self, selector: str = "") -> tuple[Pod, ...]:
        return ()

    def apply(self, manifests: object) -> None:
        pass

    def delete(self, kind: str, name: str, *, grace: int | None = None) -> bool:
        self.deleted.append((kind, name))
        return True


def script(**said: object) -> Script:
    return Script("cluster x", "primary", None, **said)  # type: ignore[arg-type]


@dataclass
class Machine:
    name: str = "x-control-plane"
    exists: bool = False
    destroyed: int = 0

    def address(self, network: str) -> str:
        raise HarnessError(f"{self.name}: is not on network {network}")

    def execute(self, script: str) -> str:
        raise HarnessError(f"{self.name}: ended with code 2")

    def kill(self, tasks: object) -> None:
        pass

    def destroy(self) -> None:
        self.destroyed += 1


class Made(ClusterNamespace):
    """A namespace whose API server is a script."""

    def __init__(self, api: Script, folder: Path, machine: Machine | None = None) -> None:
        plan = Plan("x", "image", folder, PORTS, "net", Path("kind"), archives={"blackstart": folder})
        self.cluster = Cluster(plan, cast("Node", machine or Machine()), LOOPBACK)
        self.name, self.manifests, self.api = "primary", Manifests(()), api
        self.ports = NodePorts(deque(PORTS), "cluster x")
        self._claimed, self._imported = set(), set()


def site(made: list[Made], tmp_path: Path) -> KindSite:
    return KindSite(
        "primary", tmp_path, tmp_path, UndoJournal(tmp_path), lambda: made.pop(0), SECRET, allowed=("192.0.2.1",)
    )


def test_a_cluster_that_cannot_be_prepared_is_destroyed(tmp_path: Path) -> None:
    first, second = Machine(), Machine()
    found = site([Made(script(), tmp_path, machine) for machine in (first, second)], tmp_path)
    for machine in (first, second):  # the second time another is made
        with pytest.raises(HarnessError, match="x-control-plane: ended with code 2"):
            found.namespace  # noqa: B018 - created at its first use
        assert machine.destroyed == 1


def test_a_cluster_that_has_no_address_is_destroyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr(clusters, "Machine", lambda _name: machine)
    monkeypatch.setattr(clusters, "_kind", lambda _plan: None)
    with pytest.raises(HarnessError, match="is not on network net"):
        clusters.create(Plan("x", "image", tmp_path, PORTS, "net", Path("kind")))
    assert machine.destroyed == 1


@pytest.mark.parametrize("old", [True, False])
def test_the_kubelet_does_not_use_systemd_with_cgroups_v1(tmp_path: Path, old: bool) -> None:
    plan = Plan("x", "image", tmp_path, PORTS, "net", Path("kind"), old_cgroups=old)
    assert ("cgroupfs" in plan.text()) is old
    assert ("SystemdCgroup = false" in plan.text()) is old


def test_the_token_of_an_agent_is_in_no_config_map() -> None:
    made = filled(agent_spec("data", SECRET), "image", {"agent": 30_000}, (), hidden=(TOKEN,)).manifests
    holders = [(one["kind"], one["metadata"]["name"]) for one in made if TOKEN in one.get("data", {})]
    assert holders == [("Secret", "agent-data-env")]
    assert SECRET not in json.dumps(made)
    aloud = next(one["data"] for one in made if one["kind"] == "ConfigMap")
    assert "AGENT_ROOT" in aloud


def test_an_agent_is_applied_with_its_token_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[Manifest] = []
    made = Made(script(), tmp_path)
    monkeypatch.setattr(Script, "apply", lambda _self, manifests: applied.extend(manifests))
    monkeypatch.setattr(kind_agent, "reference", lambda image: image)
    monkeypatch.setattr(kind_agent, "await_ready", lambda *_, **__: ())
    monkeypatch.setattr(kind_agent, "probe", lambda *_: None)
    volume = open_volume(made, "data", SECRET, "volume data")
    assert len(applied) > 3
    assert SECRET not in json.dumps(applied)
    assert list(made.ports.free) == [30_001]
    close_volume(made, volume)
    assert list(made.ports.free) == [30_001, 30_000]
    assert ("Service", "agent-data") in made.api.deleted  # type: ignore[attr-defined]


def test_a_volume_that_cannot_be_opened_frees_its_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise HarnessError("volume data: ready: not within 60 s")

    made = Made(script(), tmp_path)
    monkeypatch.setattr(kind_agent, "reference", lambda image: image)
    monkeypatch.setattr(kind_agent, "await_ready", never)
    with pytest.raises(HarnessError, match="not within 60 s"):
        open_volume(made, "data", SECRET, "volume data")
    assert sorted(made.ports.free) == list(PORTS)
    assert ("Service", "agent-data") in made.api.deleted  # type: ignore[attr-defined]


def begin(made: Made, monkeypatch: pytest.MonkeyPatch) -> Pod:
    monkeypatch.setattr(kind_task, "reference", lambda image: image)
    monkeypatch.setattr(kind_task, "await_ready", lambda *_, **__: (pod_of(RUNS),))
    task = Task("dump", ("pg_dump",))
    return kind_task.begin_pod(made, task, workspace_of(task), "task-1", "dump on primary")


def test_an_empty_log_is_requested_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(script(said=[b"", b"", b"waiting\n"]), tmp_path)
    assert begin(made, monkeypatch).name == "task-1"


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ([RUNS, pod({"terminated": {"exitCode": 127}})], "dump on primary: pg_dump is not a program here; image"),
        ([pod({"terminated": {"exitCode": 137}}, "Failed")], "its pod ended with code 137 before the command ran"),
        ([pod({}, "Failed")], "its pod was deleted before the command ran"),
        ([RUNS, None], "its pod was deleted before the command ran"),
    ],
)
def test_only_exit_code_127_means_a_missing_program(
    states: list[Manifest | None], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(script(states=states), tmp_path)
    with pytest.raises(HarnessError, match=words):
        begin(made, monkeypatch)
    assert ("Job", "task-1") in made.api.deleted  # type: ignore[attr-defined]


def test_a_pod_without_output_is_checked_again() -> None:
    with pytest.raises(NotYet):
        kind_task.require_waiting(script(), "task-1", "dump on primary")
    with pytest.raises(NodeExited) as died:
        kind_task.require_waiting(script(states=[pod({"terminated": {"exitCode": 3}})]), "task-1", "dump on primary")
    assert died.value.code == 3
