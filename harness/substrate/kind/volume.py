"""Volumes of a cluster: a PersistentVolumeClaim, and the agent that serves it."""

import contextlib
import shlex

from harness.core.clock import wait_until
from harness.core.errors import HarnessError
from harness.core.node import Address, NodeSpec
from harness.images.find import reference
from harness.images.table import port_numbers
from harness.kubernetes.objects import name_of
from harness.kubernetes.waiting import await_ready
from harness.patience import PATIENCE
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.common.probe import UNANSWERED, probe
from harness.substrate.containers.volume_client import AgentVolume
from harness.substrate.kind.manifests import USER, filled
from harness.substrate.kind.namespace import ClusterNamespace

OURS = "blackstart"  # the image of nodes and tasks that name none
TOKEN = "AGENT_TOKEN"  # noqa: S105 - the name of the variable
UNAUTHORIZED = 401  # status of an agent's answer to a request without token


def agent_spec(volume: str, token: str) -> NodeSpec:
    """Return the node that serves a volume to clients with the token."""
    return NodeSpec(
        f"agent-{volume}",
        ("python3", "-m", "harness.substrate.containers.volume_agent"),
        OURS,
        ports=("agent",),
        volumes=(volume,),
        env={
            TOKEN: token,
            "AGENT_ROOT": f"@{{volume:{volume}}}",
            "AGENT_PORT": str(port_numbers(OURS, ("agent",))["agent"]),
        },
    )


def _own(namespace: ClusterNamespace, claim: str) -> None:
    """Change the owner of a volume to the site's user: kind's provisioner creates it for root, and ignores fsGroup."""
    found = namespace.api.get("PersistentVolumeClaim", claim) or {}
    volume = namespace.api.get("PersistentVolume", found.get("spec", {}).get("volumeName", claim)) or {}
    source = volume.get("spec", {})
    path = (source.get("hostPath") or source.get("local") or {}).get("path")
    if path:
        namespace.machine.execute(f"chown {USER}:{USER} {shlex.quote(path)}")


def open_volume(namespace: ClusterNamespace, name: str, token: str, what: str) -> AgentVolume:
    """Return a volume, its claim and agent created at first; `what` begins the error. Raises HarnessError."""
    spec = agent_spec(name, token)
    namespace.claim((name,))
    namespace.require_image(OURS)
    port = namespace.ports.take()
    address = Address(LOOPBACK, namespace.cluster.plan.ports[port])
    try:
        namespace.api.apply(filled(spec, reference(OURS), {"agent": port}, (), hidden=(TOKEN,)).manifests)
        await_ready(namespace.api, name_of(spec.name), PATIENCE.pod_start, what=what)
        _own(namespace, name_of(name))
        wait_until(
            lambda: probe(address, "/size", UNAUTHORIZED),
            patience=PATIENCE.pod_start,
            on=UNANSWERED,
            what=f"{what}: its agent",
        )
    except HarnessError:
        with contextlib.suppress(HarnessError):  # the original error is reported
            _give_port(namespace, spec.name, port)
        raise
    return AgentVolume(name, address, token)


def close_volume(namespace: ClusterNamespace, volume: AgentVolume) -> None:
    """Remove the Service of a volume's agent, and free its NodePort. Raises HarnessError."""
    for port, outside in namespace.cluster.plan.ports.items():
        if outside == volume.address.port:
            _give_port(namespace, f"agent-{volume.name}", port)


def _give_port(namespace: ClusterNamespace, agent: str, port: int) -> None:
    # No other Service can have the NodePort before this one is deleted.
    namespace.api.delete("Service", name_of(agent))
    namespace.ports.give((port,))
