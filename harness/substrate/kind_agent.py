"""Volumes of a cluster: a claim, and the agent that serves what is in it."""

from __future__ import annotations

import shlex

from harness.core.clock import wait_until
from harness.core.node import Address, NodeSpec
from harness.images.find import reference
from harness.images.table import port_numbers
from harness.kubernetes.objects import name_of
from harness.kubernetes.waiting import await_ready
from harness.substrate.agent_volume import AgentVolume
from harness.substrate.kind_cluster import Standing
from harness.substrate.kind_manifest import USER, filled
from harness.substrate.ports import LOOPBACK
from harness.substrate.ready import UNANSWERED, probe

OURS = "blackstart"  # the image of what is made of none
WAITING = 60.0  # seconds for an agent, or a task's pod
UNAUTHORIZED = 401  # how an agent answers who has no token


def agent_spec(volume: str, token: str) -> NodeSpec:
    """Return the node that serves a volume to whoever has the token."""
    return NodeSpec(
        f"agent-{volume}",
        (),
        OURS,
        ("python3", "-m", "harness.substrate.agent"),
        ports=("agent",),
        volumes=(volume,),
        env={
            "AGENT_TOKEN": token,
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
    standing.api.apply(filled(spec, reference(OURS), {"agent": port}, ()).manifests)
    await_ready(standing.api, name_of(spec.name), WAITING, what=what)
    _own(standing, name_of(name))
    address = Address(LOOPBACK, standing.cluster.plan.ports[port])
    wait_until(
        lambda: probe(address, "/size", UNAUTHORIZED), patience=WAITING, on=UNANSWERED, what=f"{what}: its agent"
    )
    return AgentVolume(name, address, token)
