"""Readiness from watches: until a workload's pods are ready, until they are gone, until a Job has ended."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from harness.core.errors import HarnessError, TookTooLong
from harness.kubernetes.api import Api
from harness.kubernetes.objects import NAME, Pod, pod_of
from harness.kubernetes.trouble import Trouble, missing_in, trouble_of

SHOWN = 5  # last lines of a log in an error
MAKERS = "local-path-storage"  # the namespace of what makes volumes in kind's clusters, and in many of one node
ASKED = "ExternalProvisioning"  # noted of every claim, also of those whose volume is just being made
PENDING = ("Unhealthy", "FailedMount", "FailedScheduling", "FailedCreate", "Failed", "BackOff")


class Died(HarnessError):
    """A pod's program ended before it was ready. `code`: its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def selector_of(name: str) -> str:
    """Return what selects the pods of a node."""
    return f"{NAME}={name}"


def await_ready(api: Api, name: str, patience: float, *, what: str, replicas: int = 1) -> tuple[Pod, ...]:
    """Return the pods of a node once `replicas` are ready; `what` begins the error: `odoo on dr`.

    Raises Died for a program that ended, HarnessError for what waiting will not mend, TookTooLong with the reason.
    """
    pods: tuple[Pod, ...] = ()
    with contextlib.suppress(TookTooLong):  # it is said below, and better
        for found in api.follow("Pod", selector_of(name), patience):
            pods = tuple(map(pod_of, found))
            here = tuple(pod for pod in pods if not pod.going)
            if len([pod for pod in here if pod.ready]) >= replicas and len(here) == len(pods):
                return here
            for pod in here:
                found_trouble = trouble_of(pod)
                if found_trouble is not None and found_trouble.final:
                    raise _explained(api, pod, found_trouble, what)
    raise TookTooLong(f"{what}: ready: not within {patience:g} s ({_reason(api, name, pods)})")


def _explained(api: Api, pod: Pod, trouble: Trouble, what: str) -> HarnessError:
    if trouble.code is None:
        return HarnessError(f"{what}: {trouble.text}")
    return Died(f"{what} {trouble.text} before it was ready: {last_words(api, pod)}", trouble.code)


def last_words(api: Api, pod: Pod) -> str:
    """Return the last lines that a pod wrote, its container before the present one if that has none, as one line."""
    name = next((c.name for c in pod.containers), "")
    for previous in (False, True):
        text = api.logs(pod.name, name, tail=SHOWN * 4, previous=previous).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("at ")]
        if lines and not lines[0].startswith("unable to retrieve container logs"):
            return " | ".join(lines[-SHOWN:])
    return "no log"


def _reason(api: Api, name: str, pods: tuple[Pod, ...]) -> str:
    """Return why it is not ready as far as anybody knows."""
    with contextlib.suppress(HarnessError):
        for pod in pods:
            if trouble := trouble_of(pod):
                return trouble.text
            said = _noted(api, pod.name, pod.uid) or _unbound(api) or f"pod {pod.name} is {pod.phase}"
            return f"{missing_in(said) or said}; its log ends: {last_words(api, pod)}"
        for kind in ("Deployment", "StatefulSet", "Job"):
            if workload := api.get(kind, name):
                return _noted(api, name, workload["metadata"]["uid"]) or f"{kind} {name} has no pod"
        return f"there is no workload {name}"
    return f"the API server of {api.where} does not answer"


def _noted(api: Api, name: str, uid: str) -> str:
    """Return the last note about an object that says why it waits, or ""."""
    return next((event for event in reversed(api.events(name, uid)) if event.startswith(PENDING)), "")


def _unbound(api: Api) -> str:
    """Return which volumes of the namespace nobody made yet, "" where all are there: their pods just wait."""
    claims = [one for one in api.find("PersistentVolumeClaim") if one["status"].get("phase") == "Pending"]
    if not claims:
        return ""
    names = [str(one["metadata"]["name"]) for one in claims]
    noted = [event for event in api.events(names[0], claims[0]["metadata"]["uid"]) if not event.startswith(ASKED)]
    why = "; ".join([*noted[-1:], *_of_makers(replace(api, namespace=MAKERS))])
    return f"volume {', '.join(names)} is not made yet{f': {why}' if why else ''}"


def _of_makers(beside: Api) -> list[str]:
    """Return what is wrong with the pods that make volumes, or what the last of them wrote; as far as we may see it."""
    with contextlib.suppress(HarnessError):
        pods = [pod for pod in beside.pods() if pod.phase != "Succeeded" and not pod.going]
        found = [(pod, trouble_of(pod)) for pod in pods]
        said = [f"{pod.name}: {trouble.text}: {last_words(beside, pod)}" for pod, trouble in found if trouble]
        return said or [f"{pod.name}: its log ends: {last_words(beside, pod)}" for pod in pods[-1:]]
    return []


def await_gone(api: Api, name: str, patience: float, *, what: str) -> None:
    """Return once no pod of a node is left. Raises TookTooLong."""
    for found in api.follow("Pod", selector_of(name), patience):
        if not found:
            return
    raise TookTooLong(f"{what}: gone: not within {patience:g} s")


def await_emptied(api: Api, selector: str, patience: float) -> None:
    """Return once no pod and no volume that is selected is left. Raises TookTooLong."""
    for kind in ("Pod", "PersistentVolumeClaim"):
        for found in api.follow(kind, selector, patience):
            if not found:
                break
        else:
            raise TookTooLong(f"{api.where}: namespace {api.namespace} is not empty within {patience:g} s")
