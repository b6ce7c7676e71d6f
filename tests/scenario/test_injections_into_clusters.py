"""Faults of clusters are injected into one in memory, and the witness of each sees it. Drills have a real one."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from harness.drill.drill import Drill
from harness.estate.site import DATABASE
from harness.kubernetes import disruption
from harness.scenario.faults import cluster as faults
from harness.scenario.faults.catalog import CATALOG
from harness.scenario.faults.fault import Fault, Scene, inject
from tests.memory_estate import KEY

OF_CLUSTERS = [fault for fault in CATALOG.values() if fault.needs == faults.KIND]


@dataclass
class MemoryCluster:
    """A cluster with one node, a pod and a volume claim of the database, and its API server; its own API as well."""

    pod: int = 1
    claim: str = "claim"
    images: list[str] = field(default_factory=lambda: [faults.IMAGE, "odoo"])
    schedulable: bool = True
    serves: bool = True
    name: str = "node"

    @property
    def api(self) -> MemoryCluster:
        return self

    @property
    def namespace(self) -> Any:
        return SimpleNamespace(machine=self, require_image=lambda _image: None)

    def pods(self) -> list[Any]:
        return [SimpleNamespace(uid=str(self.pod), alive=True, going=False)]

    def get(self, kind: str, name: str) -> dict[str, Any]:
        if kind == "Node":
            return {"spec": {"unschedulable": not self.schedulable}}
        return {"metadata": {"uid": self.claim}} if name == DATABASE else {}

    def lose_volume(self, name: str) -> None:
        assert name == DATABASE
        self.claim = "another claim"

    def forget_image(self, image: str) -> None:
        self.images.remove(image)

    def execute(self, script: str) -> str:
        return "7" * self.serves if "kube-apiserver" in script else "\n".join(self.images)

    def replace_pod(self, *_words: object) -> None:
        self.pod += 1

    def set(self, name: str, *, value: bool) -> Any:
        return lambda *_words: setattr(self, name, value)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> MemoryCluster:
    made = MemoryCluster()
    for name, does in {
        "kill_pods": made.replace_pod,
        "drain": made.replace_pod,
        "cordon": made.set("schedulable", value=False),
        "uncordon": made.set("schedulable", value=True),
        "stop_api_server": made.set("serves", value=False),
        "start_api_server": made.set("serves", value=True),
    }.items():
        monkeypatch.setattr(disruption, name, does)
    monkeypatch.setattr(faults, "cluster_of", lambda _site: made)
    monkeypatch.setattr(faults, "database_password", lambda _scene: KEY)
    monkeypatch.setattr(faults, "UNAVAILABLE", 1.0)
    monkeypatch.setattr("harness.images.find.reference", str)
    monkeypatch.setattr("harness.patience.PATIENCE.fault_seen", 0.3)
    monkeypatch.setattr(Drill, "strike", lambda drill, destroy: destroy(drill.environment.primary))
    return made


@pytest.mark.parametrize("fault", OF_CLUSTERS, ids=lambda fault: fault.phrase)
def test_a_fault_of_a_cluster_is_seen_by_its_witness(drill: Drill, cluster: MemoryCluster, fault: Fault) -> None:
    before = fault.witness(scene := Scene(drill))
    inject(fault, scene)
    assert fault.witness(scene) != before
    scene.undo()
    assert cluster.serves is (fault.phrase != "the DR control plane stays unavailable")
    drill.close()
