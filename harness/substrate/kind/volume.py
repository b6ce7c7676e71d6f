"""Volumes of a cluster: a claim, and the agent that serves what is in it."""

from __future__ import annotations

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
from harness.substrate.kind.cluster import Standing
from harness.substrate.kind.manifests import USER, filled

OURS = "blackstart"  # the image of what is made of none
TOKEN = "AGENT_TOKEN"  # noqa: S105 - what the variable is called
UNAUTHORIZED = 401  # how an agent answers who has no token


def agent_spec(volume: str, token: str) -> NodeSpec:
    """Return the node that serves a volume to whoever has the token."""
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


def _own(standing: Standing, claim: str) -> None:
    """Give the folder of a volume to the site's user: kind's provisioner makes it root's, and knows no fsGroup."""
    found = standing.api.get("PersistentVolumeClaim", claim) or {}
    volume = standing.api.get("PersistentVolume", found.get("spec", {}).get("volumeName", claim)) or {}
    source = volume.get("spec", {})
    path = (source.get("hostPath") or source.get("local") or {}).get("path")
    if path:
        standing.cluster.machine.execute(f"chown {USER}:{USER} {shlex.quote(path)}")


def open_volume(standing: Standing, name: str, token: str, what: str) -> AgentVolume:
    """Return a volume, its claim and its agent made when they are not there; `what` begins the error.

    Raises HarnessError.
    """
    spec = agent_spec(name, token)
    standing.claim((name,))
    standing.require_image(OURS)
    port = standing.ports.take()
    address = Address(LOOPBACK, standing.cluster.plan.ports[port])
    try:
        standing.api.apply(filled(spec, reference(OURS), {"agent": port}, (), hidden=(TOKEN,)).manifests)
        await_ready(standing.api, name_of(spec.name), PATIENCE.pod_start, what=what)
        _own(standing, name_of(name))
        wait_until(
            lambda: probe(address, "/size", UNAUTHORIZED),
            patience=PATIENCE.pod_start,
            on=UNANSWERED,
            what=f"{what}: its agent",
        )
    except HarnessError:
        with contextlib.suppress(HarnessError):  # the first error says what is wrong
            _give_port(standing, spec.name, port)
        raise
    return AgentVolume(name, address, token)


def close_volume(standing: Standing, volume: AgentVolume) -> None:
    """Let nobody reach a volume's agent, and give back the port on which it was reached. Raises HarnessError."""
    for port, outside in standing.cluster.plan.ports.items():
        if outside == volume.address.port:
            _give_port(standing, f"agent-{volume.name}", port)


def _give_port(standing: Standing, agent: str, port: int) -> None:
    # The cluster lets no other Service have it before this one is gone.
    standing.api.delete("Service", name_of(agent))
    standing.ports.give((port,))
