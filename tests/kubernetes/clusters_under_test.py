"""A pair of clusters on which the conformance suite runs; they are emptied after each test."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

from harness.core.node import Node
from harness.kubernetes.objects import MANAGED, NAME, OWNER
from harness.substrate.kind.manifests import CLAIM
from harness.substrate.kind.namespace import ClusterNamespace, NodePorts
from harness.substrate.kind.site import KindSite
from harness.substrate.kind.substrate import Kind
from tests.substrate.substrates_under_test import SCRIPTS, said_by

KINDS = ("Deployment", "StatefulSet", "Job", "Service", "ConfigMap", "Secret", CLAIM, "Pod")
SELECTOR = f"{MANAGED}={OWNER}"
EMPTIED = 60.0  # seconds


@dataclass(frozen=True)
class ClustersUnderTest:
    substrate: Kind
    image: str = "blackstart"

    def argv(self, program: str, *args: str) -> tuple[str, ...]:
        return ("python3", "-I", "-S", "-c", SCRIPTS[program], *args)

    def ask(self, node: Node) -> bytes:
        return said_by(node)

    def log(self, name: str) -> str:
        return (self.substrate.logs / f"{name}.log").read_text()

    def living(self) -> int:
        return sum(living(self.substrate.cluster_site(name)) for name in ("primary", "dr"))

    def empty(self) -> None:
        for name in ("primary", "dr"):
            empty(self.substrate.cluster_site(name))


def living(site: KindSite) -> int:
    """Return the number of running pods of nodes and tasks; agents of volumes do not count."""
    if site._namespace is None:
        return 0
    pods = [pod for pod in site.api.pods() if pod.alive and not pod.going]
    return len([pod for pod in pods if not pod.labels.get(NAME, "").startswith("agent-")])


def empty(site: KindSite) -> None:
    """Delete everything in a site's namespace, but not the cluster: that is faster than another cluster."""
    with site._opening, site._lock:
        for node in site._nodes.values():
            node.kill()
        site._volumes.clear()
        site._nodes.clear()
        site._numbers = itertools.count(1)
        if site._namespace is not None:
            site.rejoin()
            _delete_all(site._namespace)


def _delete_all(namespace: ClusterNamespace) -> None:
    for kind in KINDS:
        for found in namespace.api.find(kind, SELECTOR):
            namespace.api.delete(kind, found["metadata"]["name"], grace=0)
    namespace.forget_claims()
    namespace.ports = NodePorts(deque(namespace.cluster.plan.ports), f"cluster {namespace.cluster.name}")
    for kind in ("Pod", CLAIM):
        assert () in namespace.api.follow(kind, SELECTOR, EMPTIED)
