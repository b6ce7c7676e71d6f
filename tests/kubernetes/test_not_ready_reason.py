"""Reasons why a pod is not ready: which are final, and which pass."""

from __future__ import annotations

import pytest

from harness.kubernetes.objects import Manifest, pod_of
from harness.kubernetes.waiting import not_ready_reason

FREEZE = "failed to create containerd task: runc create failed: error setting cgroup config: unable to freeze: unknown"


def pod(state: Manifest, last: Manifest | None = None) -> Manifest:
    status = {"name": "c", "state": state, "lastState": last or {}}
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [status]}}


@pytest.mark.parametrize(
    "found",
    [
        pod({"waiting": {"reason": "RunContainerError", "message": FREEZE}}),
        pod(
            {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            {"terminated": {"exitCode": 128, "reason": "StartError", "message": FREEZE}},
        ),
    ],
    ids=["at first", "before the next try"],
)
def test_a_start_that_fails_on_a_busy_machine_is_retried(found: Manifest) -> None:
    reason = not_ready_reason(pod_of(found))
    assert reason is not None
    assert not reason.final
    assert "unable to freeze" in reason.text


def test_any_other_failed_start_is_final() -> None:
    reason = not_ready_reason(pod_of(pod({"waiting": {"reason": "RunContainerError", "message": "permission denied"}})))
    assert reason is not None
    assert reason.final
