"""Objects of the Kubernetes API as dicts, and a typed view of the state of a pod."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

Manifest = dict[str, Any]  # an object of the API, from YAML or JSON: the only dict that crosses module boundaries

NAME = "app.kubernetes.io/name"  # label of all objects of a node
MANAGED = "app.kubernetes.io/managed-by"
OWNER = "blackstart"  # value of that label for the objects of a drill, and the field manager of server-side apply
LONGEST = 50  # characters of a name; the API allows 63, and a Job adds a suffix

API_VERSIONS: Mapping[str, str] = {  # of the kinds that are not of `v1`
    **dict.fromkeys(("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet"), "apps/v1"),
    **dict.fromkeys(("Job", "CronJob"), "batch/v1"),
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}


def name_of(text: str) -> str:
    """Return a valid name of an object (RFC 1123): `text` where it is one, otherwise a unique one made of it."""
    plain = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    if plain == text and len(text) <= LONGEST:
        return text
    return f"{plain[:LONGEST].strip('-') or 'x'}-{sha256(text.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True)
class Container:
    """State of one container of a pod. `code`: its last exit code, None when it has never ended."""

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
    """State of a pod. `going`: it is terminating; `waits`: why it is unschedulable, or ""."""

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
        """Whether it is running or pending."""
        return self.phase not in ("Succeeded", "Failed")

    @property
    def tasks(self) -> tuple[str, ...]:
        """The containerd ids of its running containers."""
        return tuple(c.task for c in self.containers if c.task and c.running)


def pod_of(found: Manifest) -> Pod:
    """Return the state of a pod from its object."""
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
    # The reason why it is not running now, and for one that ended the reason of its end.
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
