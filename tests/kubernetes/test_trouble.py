"""What a pod's state says of it: which troubles pass by themselves, and which do not."""

from __future__ import annotations

import pytest

from harness.kubernetes.objects import Manifest, pod_of
from harness.kubernetes.trouble import trouble_of

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
def test_a_start_that_runc_lost_to_a_busy_machine_is_tried_again(found: Manifest) -> None:
    trouble = trouble_of(pod_of(found))
    assert trouble is not None
    assert not trouble.final
    assert "unable to freeze" in trouble.text


def test_any_other_start_that_failed_is_final() -> None:
    trouble = trouble_of(pod_of(pod({"waiting": {"reason": "RunContainerError", "message": "permission denied"}})))
    assert trouble is not None
    assert trouble.final
