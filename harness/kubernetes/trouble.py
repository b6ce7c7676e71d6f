"""Why a pod does not get ready, in the words of an operator."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.kubernetes.objects import Container, Pod

NO_IMAGE = ("ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError")
NO_CONFIG = ("CreateContainerConfigError",)
NO_START = ("RunContainerError", "CreateContainerError", "StartError", "ContainerCannotRun")
# What runc says when it loses a race on a busy machine: the kubelet tries again within seconds.
PASSING = "unable to freeze"
NOT_FOUND = re.compile(r'exec: \\?"([^"\\]+)\\?": (?:executable file not found|stat|no such file)')
MISSING = re.compile(r'(secret|configmap) "([^"]+)" not found', re.IGNORECASE)
KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) (\S+)")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong. `code`: the exit code of a program that ended; `final`: waiting longer will not help."""

    text: str
    code: int | None = None
    final: bool = True


def trouble_of(pod: Pod) -> Trouble | None:
    """Return why the pod is not ready, or None while nothing speaks against it."""
    for container in pod.containers:
        found = _of_container(container)
        if found is not None:
            return found
    if pod.waits:
        return Trouble(f"no node takes it: {pod.waits}", final=False)
    return None


def _of_container(container: Container) -> Trouble | None:
    reason, said = container.reason, container.message
    if reason in NO_IMAGE:
        remedy = "import it there, or let the cluster pull it"
        return Trouble(f"image {container.image} is not in the cluster's node; {remedy} ({reason})")
    if reason in NO_CONFIG:
        # A kubelet that is busy may not have read yet what is there; what is not there will not come by itself.
        return Trouble(f"{missing_in(said) or said} ({reason})", final="failed to sync" not in said)
    if ghost := NOT_FOUND.search(said):
        return Trouble(f"{ghost[1].rpartition('/')[2]} is not a program here; the image has none of that name")
    if reason in NO_START or PASSING in said:
        return Trouble(f"it cannot be started: {said} ({reason})", final=PASSING not in said)
    if container.code is not None and not container.running:
        return Trouble(f"ended with code {container.code}", code=container.code)
    return None


def missing_in(message: str) -> str:
    """Return which Secret or ConfigMap, or which key of it, a message of the kubelet says is not there; else ""."""
    if found := KEY.search(message):
        return f"{found[2]} {found[3].rpartition('/')[2]} has no key {found[1]}; add it"
    if found := MISSING.search(message):
        kind = {"secret": "Secret", "configmap": "ConfigMap"}[found[1].lower()]
        return f"{kind} {found[2]} is not there; make it"
    return ""
