"""Workloads of an existing site: its nodes are started and stopped by their number of replicas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Refused, TookTooLong
from harness.kubernetes.objects import Manifest, Pod, pod_of
from harness.kubernetes.waiting import last_words, not_ready_reason
from harness.patience import PATIENCE

if TYPE_CHECKING:
    from harness.kubernetes.api import Api

KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet"}


@dataclass(frozen=True, slots=True)
class ClusterWorkloads:
    """Workloads of one namespace. `names`: node -> `statefulset/NAME` or `deployment/NAME`."""

    api: Api
    names: Mapping[str, str]

    def replicas(self, node: str) -> int | None:
        """Return the number of replicas of the node's workload, None where it has none. Raises HarnessError."""
        return int(self._workload(node)["spec"].get("replicas", 1)) if node in self.names else None

    def scale(self, node: str, replicas: int, patience: float) -> None:
        """Set the number of replicas and return once these pods are ready, or all are gone.

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
                self._require_passing(node, pods)
        state = self._state(pods) if replicas else f"{len(pods)} pods are still running"
        raise TookTooLong(f"{self.names[node]} in {self.api.namespace}: not within {patience:g} s: {state}")

    def _require_passing(self, node: str, pods: tuple[Pod, ...]) -> None:
        for pod in pods:
            reason = not_ready_reason(pod)
            if reason is not None and reason.final and not pod.going:
                raise HarnessError(f"{self.names[node]} in {self.api.namespace}: {self._state((pod,))}")

    def _state(self, pods: tuple[Pod, ...]) -> str:
        """Return the reason why a pod is not ready, with the last lines of its log."""
        for pod in pods:
            if reason := not_ready_reason(pod):
                return f"pod {pod.name}: {reason.text}; its log ends: {last_words(self.api, pod)}"
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
    """Starts and stops the nodes of an existing site by their number of replicas."""

    def replicas(self, node: str) -> int | None:
        """Return the number of replicas of the node's workload, None where it has none. Raises HarnessError."""

    def scale(self, node: str, replicas: int, patience: float) -> None:
        """Set the number of replicas and return once they are ready, or gone. Raises HarnessError with the reason."""


@dataclass(frozen=True, slots=True)
class NoWorkloads:
    """A site without workloads: its operators start and stop its nodes, and their state is seen at their addresses."""

    def replicas(self, node: str) -> int | None:
        """Return None: no node has a workload."""
        return None

    def scale(self, node: str, replicas: int, patience: float) -> None:
        """Always raises Refused."""
        raise Refused(f"{node}: has no workload; name it in [existing.dr.cluster] or start it by hand")
