"""Nodes of a site that stands in a cluster: started and ended by the number of replicas of their workloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Refused, TookTooLong
from harness.kubernetes.objects import Manifest, Pod, pod_of
from harness.kubernetes.trouble import trouble_of
from harness.patience import PATIENCE

if TYPE_CHECKING:
    from harness.kubernetes.api import Api

KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet"}
LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class Scaled:
    """Workloads of one namespace. `names`: node -> `statefulset/NAME` or `deployment/NAME`."""

    api: Api
    names: Mapping[str, str]

    def replicas(self, node: str) -> int | None:
        """Return how many pods the node's workload asks for, None where it has none. Raises HarnessError."""
        return int(self._workload(node)["spec"].get("replicas", 1)) if node in self.names else None

    def scale(self, node: str, replicas: int, patience: float) -> None:
        """Ask for so many pods and return once they are ready, or gone.

        Raises HarnessError with the reason and the last lines of its log when a pod cannot get ready, TookTooLong.
        """
        workload = self._workload(node)
        kind, name = self._kind(node)
        if int(workload["spec"].get("replicas", 1)) != replicas:
            self.api.scale(kind, name, replicas)
        labels = workload["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        begin, pods = SYSTEM.monotonic(), tuple[Pod, ...]()
        for found in self.api.follow("Pod", selector, patience):
            pods = tuple(map(pod_of, found))
            if replicas == 0 and not pods:
                return
            if replicas and sum(pod.ready and not pod.going for pod in pods) >= replicas:
                return
            if replicas and SYSTEM.monotonic() - begin > PATIENCE.container_restart:
                self._require_hope(node, pods)
        state = self._told(pods) if replicas else f"{len(pods)} pods are still there"
        raise TookTooLong(f"{self.names[node]} in {self.api.namespace}: not within {patience:g} s: {state}")

    def _require_hope(self, node: str, pods: tuple[Pod, ...]) -> None:
        for pod in pods:
            trouble = trouble_of(pod)
            if trouble is not None and trouble.final and not pod.going:
                raise HarnessError(f"{self.names[node]} in {self.api.namespace}: {self._told((pod,))}")

    def _told(self, pods: tuple[Pod, ...]) -> str:
        """Return why the first pod that is in trouble is so, with the last lines of its log."""
        for pod in pods:
            if trouble := trouble_of(pod):
                log = self.api.logs(pod.name, tail=LAST_LINES).decode(errors="replace")
                said = " | ".join(line.strip() for line in log.splitlines() if line.strip())
                return f"pod {pod.name}: {trouble.text}" + (f"; its log ends: {said}" if said else "")
        return "its pods are not ready" if pods else "it has no pods"

    def _kind(self, node: str) -> tuple[str, str]:
        kind, _, name = self.names[node].partition("/")
        return KINDS[kind], name

    def _workload(self, node: str) -> Manifest:
        kind, name = self._kind(node)
        found = self.api.get(kind, name)
        if found is None:
            raise HarnessError(
                f"{self.names[node]}: not in namespace {self.api.namespace}; correct [existing.dr.cluster]"
            )
        return found


class Workloads(Protocol):
    """What starts and ends the nodes of a site that stands: numbers of replicas, and waiting for them."""

    def replicas(self, node: str) -> int | None:
        """Return how many are asked for, or None where the node has no workload. Raises HarnessError."""
        ...

    def scale(self, node: str, replicas: int, patience: float) -> None:
        """Ask for so many and return once they are ready, or gone. Raises HarnessError with the reason."""
        ...


@dataclass(frozen=True, slots=True)
class ByHand:
    """A site whose nodes somebody else starts and ends: what they do is seen at their addresses."""

    def replicas(self, node: str) -> int | None:
        """None: nothing is known of any node."""
        return None

    def scale(self, node: str, replicas: int, patience: float) -> None:
        """Refuse: there is nothing to scale."""
        raise Refused(f"{node}: has no workload; name it in [existing.dr.cluster] or start it by hand")
