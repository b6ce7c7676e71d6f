"""Faults of a running cluster, with their undo: drain, pod kill, lost claim, stopped API server, network partition."""

from collections.abc import Iterable, Mapping

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.kubernetes.api import Api
from harness.kubernetes.egress_filter import PODS
from harness.kubernetes.machine import Machine
from harness.kubernetes.objects import Pod
from harness.kubernetes.waiting import await_gone, selector_of
from harness.patience import PATIENCE

MANIFESTS, ASIDE = "/etc/kubernetes/manifests", "/etc/kubernetes/aside"
API_SERVER = "kube-apiserver"
EVERY = 0.2
CHAIN = "BLACKSTART-PARTITION"
# Connections to the NodePorts of nodes are reset. All others to this machine's address stay: volume agents are behind
# them. Other traffic between pods and the outside is rejected; peers, kubelet and API server do not pass here.
PARTITION = """
set -e
iptables -w -N {chain} 2>/dev/null || iptables -w -F {chain}
for port in {ports}; do
  iptables -w -A {chain} -p tcp -m conntrack --ctorigdstport $port -j REJECT --reject-with tcp-reset
done
iptables -w -A {chain} -m conntrack --ctorigdst {address} -j RETURN
iptables -w -A {chain} -s {pods} ! -d {pods} -j REJECT --reject-with icmp-admin-prohibited
iptables -w -A {chain} ! -s {pods} -d {pods} -j REJECT --reject-with icmp-admin-prohibited
iptables -w -D FORWARD -j {chain} 2>/dev/null || true
iptables -w -I FORWARD 1 -j {chain}
"""
END_PARTITION = "iptables -w -D FORWARD -j {chain} 2>/dev/null || true; iptables -w -F {chain} 2>/dev/null || true"


def cordon(api: Api, node: str) -> None:
    """Mark a node as unschedulable. Raises HarnessError."""
    api.patch("Node", node, {"spec": {"unschedulable": True}})


def uncordon(api: Api, node: str) -> None:
    """Mark a node as schedulable again. Raises HarnessError."""
    api.patch("Node", node, {"spec": {"unschedulable": None}})


def drain(api: Api, node: str, patience: float) -> tuple[str, ...]:
    """Cordon a node and evict the pods of this namespace, as disruption budgets allow; return their names once gone.

    Pods of Jobs and DaemonSets are not evicted. Raises TookTooLong that names a pod whose budget does not allow it,
    HarnessError.
    """
    cordon(api, node)
    doomed = [pod for pod in api.pods() if pod.alive and pod.owner not in ("DaemonSet", "Job", "Node")]
    for pod in doomed:
        _evict(api, pod, patience)
    _await_none(api, "Pod", {pod.uid: pod.name for pod in doomed}, patience)
    return tuple(pod.name for pod in doomed)


def _await_none(api: Api, kind: str, doomed: Mapping[str, str], patience: float) -> None:
    """Wait until the objects of these uids are gone; another object of the same name does not count."""
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
    """Delete the pods of a node without grace period and return their names once gone; its workload replaces them.

    Raises TookTooLong, HarnessError.
    """
    doomed = api.pods(selector_of(name))
    for pod in doomed:
        api.delete("Pod", pod.name, grace=0)
    _await_none(api, "Pod", {pod.uid: pod.name for pod in doomed}, patience)
    return tuple(pod.name for pod in doomed)


def lose_claim(api: Api, name: str, users: tuple[str, ...], patience: float) -> None:
    """Delete a claim with its volume, after scaling the workloads that use it to 0. Raises HarnessError."""
    for kind in ("Deployment", "StatefulSet"):
        for user in users:
            api.scale(kind, user, 0)  # it is of one of the two kinds
    for user in users:
        kill_pods(api, user, patience)
        await_gone(api, user, patience, what=f"{user} in {api.namespace}")
    claim = api.get("PersistentVolumeClaim", name)
    if claim is None or not api.delete("PersistentVolumeClaim", name, grace=0):
        raise HarnessError(f"{api.where}: namespace {api.namespace} has no volume {name}; nothing was deleted")
    _await_none(api, "PersistentVolumeClaim", {claim["metadata"]["uid"]: name}, patience)


def stop_api_server(machine: Machine) -> None:
    """SIGKILL the API server, and hide its manifest from the kubelet, which would restart it. Raises HarnessError."""
    move = f"mkdir -p {ASIDE}; mv {MANIFESTS}/{API_SERVER}.yaml {ASIDE}/ 2>/dev/null || true"
    machine.execute(f"{move}; pkill -KILL -x {API_SERVER} || true")

    def down() -> None:
        if machine.execute(f"pgrep -x {API_SERVER} || true"):
            machine.execute(f"pkill -KILL -x {API_SERVER} || true")
            raise NotYet("it runs")

    wait_until(down, patience=PATIENCE.static_pod, every=EVERY, what=f"{machine.name}: API server stopped")


def start_api_server(machine: Machine) -> None:
    """Put the manifest back; the kubelet starts the API server within seconds. Raises HarnessError."""
    machine.execute(f"mv {ASIDE}/{API_SERVER}.yaml {MANIFESTS}/ 2>/dev/null || true")


def partition(machine: Machine, address: str, ports: Iterable[int]) -> None:
    """Partition the pods of a cluster from the outside: `ports` are the NodePorts of nodes, `address` is the machine's.

    It may be repeated with other ports. Raises HarnessError.
    """
    listed = " ".join(map(str, ports))
    machine.execute(PARTITION.format(chain=CHAIN, ports=listed, address=address, pods=PODS))


def end_partition(machine: Machine) -> None:
    """End the partition; without one, do nothing. Raises HarnessError."""
    machine.execute(END_PARTITION.format(chain=CHAIN))
