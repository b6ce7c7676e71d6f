"""What can happen to a cluster while it lives: each a function, each with its undoing where it has one."""

from __future__ import annotations

from collections.abc import Mapping

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.kubernetes.api import Api
from harness.kubernetes.machine import Machine
from harness.kubernetes.objects import Pod
from harness.kubernetes.waiting import await_gone, selector_of
from harness.patience import PATIENCE

MANIFESTS, ASIDE = "/etc/kubernetes/manifests", "/etc/kubernetes/aside"
API_SERVER = "kube-apiserver"
EVERY = 0.2


def cordon(api: Api, node: str) -> None:
    """Let no new pod onto a node. Raises HarnessError."""
    api.patch("Node", node, {"spec": {"unschedulable": True}})


def uncordon(api: Api, node: str) -> None:
    """Let pods onto it again. Raises HarnessError."""
    api.patch("Node", node, {"spec": {"unschedulable": None}})


def drain(api: Api, node: str, patience: float) -> tuple[str, ...]:
    """Cordon a node, evict the pods of this namespace from it, as budgets allow, and return their names once gone.

    Pods of Jobs are not evicted, those of DaemonSets neither. Raises TookTooLong that names the pod whose budget does
    not allow it, HarnessError.
    """
    cordon(api, node)
    doomed = [pod for pod in api.pods() if pod.alive and pod.owner not in ("DaemonSet", "Job", "Node")]
    for pod in doomed:
        _evict(api, pod, patience)
    _await_none(api, "Pod", {pod.uid: pod.name for pod in doomed}, patience)
    return tuple(pod.name for pod in doomed)


def _await_none(api: Api, kind: str, doomed: Mapping[str, str], patience: float) -> None:
    """Wait until none is left of the objects of these uids: one of the same name may have taken a place meanwhile."""
    left = list(doomed)
    for found in api.follow(kind, "", patience):
        left = [uid for uid in doomed if uid in {one["metadata"]["uid"] for one in found}]
        if not left:
            return
    names = ", ".join(doomed[uid] for uid in left)
    raise TookTooLong(f"{api.where}: {kind} {names}: gone: not within {patience:g} s")


def _evict(api: Api, pod: Pod, patience: float) -> None:
    def ask() -> None:
        if refused := api.evict(pod.name):
            raise NotYet(refused)

    try:
        wait_until(ask, patience=patience, every=EVERY, what=f"pod {pod.name}: evicted")
    except TookTooLong as error:
        raise TookTooLong(f"{error}; its disruption budget does not allow it") from None


def kill_pods(api: Api, name: str, patience: float) -> tuple[str, ...]:
    """Delete the pods of a node with no grace and return their names once gone; its workload makes others.

    Raises TookTooLong, HarnessError.
    """
    doomed = api.pods(selector_of(name))
    for pod in doomed:
        api.delete("Pod", pod.name, grace=0)
    _await_none(api, "Pod", {pod.uid: pod.name for pod in doomed}, patience)
    return tuple(pod.name for pod in doomed)


def lose_claim(api: Api, name: str, users: tuple[str, ...], patience: float) -> None:
    """Lose a volume with all in it; the nodes that use it are scaled to none first. Raises HarnessError."""
    for kind in ("Deployment", "StatefulSet"):
        for user in users:
            api.scale(kind, user, 0)  # it is of the one kind or of the other
    for user in users:
        kill_pods(api, user, patience)
        await_gone(api, user, patience, what=f"{user} in {api.namespace}")
    claim = api.get("PersistentVolumeClaim", name)
    if claim is None or not api.delete("PersistentVolumeClaim", name, grace=0):
        raise HarnessError(f"{api.where}: namespace {api.namespace} has no volume {name}; nothing was lost")
    _await_none(api, "PersistentVolumeClaim", {claim["metadata"]["uid"]: name}, patience)


def take_api(machine: Machine) -> None:
    """Take the API server's manifest from the kubelet and end it. Raises HarnessError."""
    move = f"mkdir -p {ASIDE}; mv {MANIFESTS}/{API_SERVER}.yaml {ASIDE}/ 2>/dev/null || true"
    machine.execute(f"{move}; pkill -KILL -x {API_SERVER} || true")

    def down() -> None:
        if machine.execute(f"pgrep -x {API_SERVER} || true"):
            machine.execute(f"pkill -KILL -x {API_SERVER} || true")
            raise NotYet("it runs")

    wait_until(down, patience=PATIENCE.static_pod, every=EVERY, what=f"{machine.name}: API server away")


def give_api(machine: Machine) -> None:
    """Give the manifest back; the kubelet starts the API server by and by. Raises HarnessError."""
    machine.execute(f"mv {ASIDE}/{API_SERVER}.yaml {MANIFESTS}/ 2>/dev/null || true")
