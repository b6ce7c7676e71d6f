"""Readiness of pods: the reason why one is not ready, and waiting by watches until it is, or is gone."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError, NodeExited, TookTooLong
from harness.kubernetes.objects import NAME, Container, Pod, pod_of

if TYPE_CHECKING:  # a base installation has no client of Kubernetes
    from harness.kubernetes.api import Api

SHOWN = 5  # last lines of a log in an error
PROVISIONER = "local-path-storage"  # namespace of the volume provisioner of kind, and of many clusters of one node
ASKED = "ExternalProvisioning"  # event of every claim, also of those that are just being provisioned
PENDING = ("Unhealthy", "FailedMount", "FailedScheduling", "FailedCreate", "Failed", "BackOff")
NO_IMAGE = ("ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError")
NO_CONFIG = ("CreateContainerConfigError",)
NO_START = ("RunContainerError", "CreateContainerError", "StartError", "ContainerCannotRun")
# runc's message when it loses a race on a busy machine: the kubelet tries again within seconds.
TRANSIENT = "unable to freeze"
NOT_FOUND = re.compile(r'exec: \\?"([^"\\]+)\\?": (?:executable file not found|stat|no such file)')
MISSING = re.compile(r'(secret|configmap) "([^"]+)" not found', re.IGNORECASE)
KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) (\S+)")


@dataclass(frozen=True, slots=True)
class NotReadyReason:
    """The reason why a pod is not ready. `code`: exit code of a program that ended; `final`: waiting does not help."""

    text: str
    code: int | None = None
    final: bool = True


def not_ready_reason(pod: Pod) -> NotReadyReason | None:
    """Return why a pod is not ready, None while no problem is known."""
    for container in pod.containers:
        found = _of_container(container)
        if found is not None:
            return found
    if pod.waits:
        return NotReadyReason(f"pod is unschedulable: {pod.waits}", final=False)
    return None


def _of_container(container: Container) -> NotReadyReason | None:
    reason, said = container.reason, container.message
    if reason in NO_IMAGE:
        remedy = "import it, or let the cluster pull it"
        return NotReadyReason(f"image {container.image} is not on the cluster's node; {remedy} ({reason})")
    if reason in NO_CONFIG:
        # A busy kubelet may not have read an object yet that exists; one that is missing is not created by waiting.
        return NotReadyReason(f"{missing_in(said) or said} ({reason})", final="failed to sync" not in said)
    if ghost := NOT_FOUND.search(said):
        return NotReadyReason(f"{ghost[1].rpartition('/')[2]} is not a program here; the image has none of that name")
    if reason in NO_START or TRANSIENT in said:
        return NotReadyReason(f"it cannot be started: {said} ({reason})", final=TRANSIENT not in said)
    if container.code is not None and not container.running:
        return NotReadyReason(f"ended with code {container.code}", code=container.code)
    return None


def missing_in(message: str) -> str:
    """Return which Secret, ConfigMap or key of it is missing according to a message of the kubelet, or ""."""
    if found := KEY.search(message):
        return f"{found[2]} {found[3].rpartition('/')[2]} has no key {found[1]}; add it"
    if found := MISSING.search(message):
        kind = {"secret": "Secret", "configmap": "ConfigMap"}[found[1].lower()]
        return f"{kind} {found[2]} is missing; create it"
    return ""


def selector_of(name: str) -> str:
    """Return the label selector of the pods of a node."""
    return f"{NAME}={name}"


def await_ready(
    api: Api, name: str, patience: float, *, what: str, replicas: int = 1, start: float = 0.0
) -> tuple[Pod, ...]:
    """Return the pods of a node once `replicas` are ready; `what` begins the error: `odoo on dr`.

    `start`: seconds that the cluster may take before a program of it runs, which `patience` does not count. Raises
    NodeExited for a program that ended, HarnessError for a reason that is final, TookTooLong with the reason.
    """

    def all_ready(pods: tuple[Pod, ...]) -> bool:
        return len([pod for pod in pods if pod.ready]) >= replicas and not any(pod.going for pod in pods)

    if start:
        _awaited(api, name, start, _started, f"{what}: started", what)
    return _awaited(api, name, patience, all_ready, f"{what}: ready", what)


def _awaited(
    api: Api, name: str, patience: float, done: Callable[[tuple[Pod, ...]], bool], event: str, what: str
) -> tuple[Pod, ...]:
    """Return the pods of a node once they are as `done` says. Raises as `await_ready`."""
    pods: tuple[Pod, ...] = ()
    with contextlib.suppress(TookTooLong):  # the caller's error has the reason
        for found in api.follow("Pod", selector_of(name), patience):
            pods = tuple(map(pod_of, found))
            if done(pods):
                return pods
            for pod in pods:
                reason = not_ready_reason(pod)
                if reason is not None and reason.final and not pod.going:
                    raise _explained(api, pod, reason, what)
    raise TookTooLong(f"{event}: not within {patience:g} s ({_reason(api, name, pods)})")


def _started(pods: tuple[Pod, ...]) -> bool:
    return any(one.running or one.code is not None for pod in pods if not pod.going for one in pod.containers)


def _explained(api: Api, pod: Pod, reason: NotReadyReason, what: str) -> HarnessError:
    if reason.code is None:
        return HarnessError(f"{what}: {reason.text}")
    return NodeExited(f"{what} {reason.text} before it was ready: {last_words(api, pod)}", reason.code)


def last_words(api: Api, pod: Pod) -> str:
    """Return the last lines of a pod's log, or of its container before the present one, joined into one line."""
    name = next((c.name for c in pod.containers), "")
    for previous in (False, True):
        text = api.logs(pod.name, name, tail=SHOWN * 4, previous=previous).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("at ")]
        if lines and not lines[0].startswith("unable to retrieve container logs"):
            return " | ".join(lines[-SHOWN:])
    return "no log"


def _reason(api: Api, name: str, pods: tuple[Pod, ...]) -> str:
    """Return the best known reason why a node is not ready."""
    with contextlib.suppress(HarnessError):
        for pod in pods:
            if reason := not_ready_reason(pod):
                return reason.text
            said = _last_event(api, pod.name, pod.uid) or _unbound(api) or f"pod {pod.name} is {pod.phase}"
            return f"{missing_in(said) or said}; its log ends: {last_words(api, pod)}"
        for kind in ("Deployment", "StatefulSet", "Job"):
            if workload := api.get(kind, name):
                return _last_event(api, name, workload["metadata"]["uid"]) or f"{kind} {name} has no pod"
        return f"there is no workload {name}"
    return f"the API server of {api.where} does not answer"


def _last_event(api: Api, name: str, uid: str) -> str:
    """Return the last event of an object that says why it is pending, or ""."""
    return next((event for event in reversed(api.events(name, uid)) if event.startswith(PENDING)), "")


def _unbound(api: Api) -> str:
    """Return which volumes of the namespace are not provisioned yet, and why; "" when all are."""
    claims = [one for one in api.find("PersistentVolumeClaim") if one["status"].get("phase") == "Pending"]
    if not claims:
        return ""
    names = [str(one["metadata"]["name"]) for one in claims]
    noted = [event for event in api.events(names[0], claims[0]["metadata"]["uid"]) if not event.startswith(ASKED)]
    why = "; ".join([*noted[-1:], *_of_provisioner(replace(api, namespace=PROVISIONER))])
    return f"volume {', '.join(names)} is not provisioned yet{f': {why}' if why else ''}"


def _of_provisioner(beside: Api) -> list[str]:
    """Return why pods of the volume provisioner fail, or the last lines of its log; nothing where access is denied."""
    with contextlib.suppress(HarnessError):
        pods = [pod for pod in beside.pods() if pod.phase != "Succeeded" and not pod.going]
        found = [(pod, not_ready_reason(pod)) for pod in pods]
        said = [f"{pod.name}: {reason.text}: {last_words(beside, pod)}" for pod, reason in found if reason]
        return said or [f"{pod.name}: its log ends: {last_words(beside, pod)}" for pod in pods[-1:]]
    return []


def await_gone(api: Api, name: str, patience: float, *, what: str) -> None:
    """Return once no pod of a node exists. Raises TookTooLong."""
    for found in api.follow("Pod", selector_of(name), patience):
        if not found:
            return
    raise TookTooLong(f"{what}: gone: not within {patience:g} s")
