"""Objects of the API as they come over the wire, and what of a pod's state matters here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

Manifest = dict[str, Any]  # an object of the API, as YAML or JSON has it: the one dict that crosses module borders

NAME = "app.kubernetes.io/name"  # the label by which all objects of a node are found
MANAGED = "app.kubernetes.io/managed-by"
OWNER = "blackstart"  # its value for what we make, and the name under which fields are applied
LONGEST = 50  # characters of a name; the API allows 63, and a Job adds some of its own

API_VERSIONS: Mapping[str, str] = {
    "Pod": "v1",
    "Service": "v1",
    "Secret": "v1",
    "ConfigMap": "v1",
    "Node": "v1",
    "Namespace": "v1",
    "Event": "v1",
    "PersistentVolume": "v1",
    "PersistentVolumeClaim": "v1",
    "ServiceAccount": "v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}


def name_of(text: str) -> str:
    """Return a name that the API takes (RFC 1123): `text` where it is one, else one made of it, still its own."""
    plain = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    if plain == text and len(text) <= LONGEST:
        return text
    return f"{plain[:LONGEST].strip('-') or 'x'}-{sha256(text.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True)
class Container:
    """How one container of a pod is. `code`: its last exit code, None while it never ended."""

    name: str
    image: str
    task: str
    ready: bool
    running: bool
    restarts: int
    code: int | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Pod:
    """How a pod is. `going`: it is being deleted; `waits`: why the scheduler has no place for it, or ""."""

    name: str
    labels: Mapping[str, str]
    phase: str
    ready: bool
    going: bool
    waits: str
    containers: tuple[Container, ...]
    owner: str = ""
    uid: str = ""

    @property
    def alive(self) -> bool:
        """Whether it runs, or will."""
        return self.phase not in ("Succeeded", "Failed")

    @property
    def tasks(self) -> tuple[str, ...]:
        """What its running containers are called by containerd."""
        return tuple(c.task for c in self.containers if c.task and c.running)


def pod_of(found: Manifest) -> Pod:
    """Return what matters of a pod."""
    meta, status = found["metadata"], found.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    placed = conditions.get("PodScheduled", {})
    owners = meta.get("ownerReferences") or [{}]
    return Pod(
        name=meta["name"],
        labels=meta.get("labels", {}),
        phase=status.get("phase", "Pending"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        going="deletionTimestamp" in meta,
        waits=placed.get("message", "") if placed.get("status") == "False" else "",
        containers=tuple(
            map(_container, [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())])
        ),
        owner=owners[0].get("kind", ""),
        uid=meta.get("uid", ""),
    )


def _container(status: Manifest) -> Container:
    state = status.get("state", {})
    ended = state.get("terminated") or status.get("lastState", {}).get("terminated") or {}
    # Why it is not running now; and of one that ended, the reason of its end.
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if not reason or (reason == "CrashLoopBackOff" and ended):
        reason, message = reason or ended.get("reason", ""), ended.get("message", "") or message
    return Container(
        name=status["name"],
        image=status.get("image", ""),
        task=status.get("containerID", "").rpartition("//")[2],
        ready=bool(status.get("ready")),
        running="running" in state,
        restarts=int(status.get("restartCount", 0)),
        code=ended.get("exitCode"),
        reason=reason,
        message=" ".join(message.split()),
    )
