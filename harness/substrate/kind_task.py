"""One-shot work in a pod: a Job that waits, and `kubectl exec` that does the work through it.

`kubectl` is a process of this machine like any other: journalled, ended, swept. Its exit code is the task's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.core.clock import wait_until
from harness.core.errors import HarnessError
from harness.core.node import Completed, Task
from harness.images.find import reference
from harness.kubernetes.api import Api
from harness.kubernetes.objects import MANAGED, NAME, OWNER, Manifest, Pod, pod_of
from harness.kubernetes.waiting import Died, await_ready
from harness.substrate.kind_agent import OURS, WAITING
from harness.substrate.kind_cluster import Standing
from harness.substrate.kind_manifest import meta, pod_of_ours, surroundings
from harness.substrate.process import RunningTask
from harness.substrate.ready import NotReady
from harness.substrate.shell import Shell

TASK = "app.kubernetes.io/component"  # label of all pods that hold a task
LONGEST = 24 * 3600  # seconds that one may take
# A program that is not there is said before the work begins, with the shell's own code for it.
WAITS = b"waiting"
WAIT = f'command -v "$0" >/dev/null || exit 127; echo {WAITS.decode()}; exec sleep {LONGEST}'
NO_PROGRAM = 127
LOOK = 0.1  # seconds between two looks whether it waits
KUBECTLS = "command terminated with exit code"  # its last word, which is not the task's


def job_of(task: Task, shell: Shell, name: str, image: str) -> Manifest:
    """Return the Job whose pod waits for the work of a task."""
    container = {"name": "task", "image": image, "command": ["sh", "-c", WAIT, shell.arguments(task.argv)[0]]}
    template = pod_of_ours(container, shell, name, {NAME: name, MANAGED: OWNER, TASK: "task"})
    template["spec"] |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta(name, name),
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": LONGEST, "template": template},
    }


@dataclass(slots=True)
class PodTask(RunningTask):
    """A task under way in a pod. `end`: removes the pod; `hold`, `go`: freeze and thaw it."""

    end: Callable[[], None] = field(default=lambda: None, repr=False)
    hold: Callable[[], None] = field(default=lambda: None, repr=False)
    go: Callable[[], None] = field(default=lambda: None, repr=False)

    def finish(self, patience: float) -> Completed:
        """Wait for its end, at most `patience` seconds; raises TookTooLong."""
        done = RunningTask.finish(self, patience)
        lines = [line for line in done.errors.splitlines() if not line.startswith(KUBECTLS)]
        return Completed(done.code, "\n".join(lines))

    def freeze(self) -> None:
        """Stop it in mid-thought. Raises HarnessError."""
        self.hold()

    def thaw(self) -> None:
        """Let it go on. Raises HarnessError."""
        self.go()

    def __enter__(self) -> PodTask:
        return self

    def __exit__(self, *details: object) -> None:
        try:
            self.end()
        finally:
            RunningTask.__exit__(self, *details)


def wait_for_work(standing: Standing, task: Task, shell: Shell, name: str, where: str) -> Pod:
    """Return the pod of a task, once it waits; `where` begins the error. Raises HarnessError, nothing left behind."""
    image = task.image or OURS
    env = surroundings(shell, name)
    standing.claim(task.volumes)
    standing.require_image(image)
    try:
        standing.api.apply((*env, job_of(task, shell, name, reference(image))))
        pod = await_ready(standing.api, name, WAITING, what=where)[0]
        wait_until(
            lambda: require_waiting(standing.api, pod.name, where),
            patience=WAITING,
            on=NotReady,
            every=LOOK,
            what=f"{where}: ready",
        )
    except HarnessError as error:
        end_work(standing, name, None)
        if isinstance(error, Died) and error.code == NO_PROGRAM:
            program = shell.arguments(task.argv)[0]
            raise HarnessError(f"{where}: {program} is not a program here; image {image} has none") from None
        raise
    return pod


def require_waiting(api: Api, pod: str, where: str) -> None:
    """Do nothing once a task's pod says that it waits for work: it may be ready before it looked for its program.

    Raises NotReady while it does not, Died with the exit code when it ended, HarnessError.
    """
    if WAITS in api.logs(pod, "task"):
        return
    found = api.get("Pod", pod)
    now = pod_of(found) if found is not None else None
    for container in now.containers if now is not None else ():
        if container.code is not None and not container.running:
            raise Died(f"{where}: its pod ended with code {container.code} before the work began", container.code)
    if now is None or not now.alive:
        raise HarnessError(f"{where}: its pod was taken away before the work began; try again")
    raise NotReady("its log does not say that it waits")


def end_work(standing: Standing | None, name: str, pod: Pod | None) -> None:
    """Kill the pod of a task with all in it, and remove all that was made for it; the cluster may be lost."""
    if standing is None or not name:
        return
    with contextlib.suppress(HarnessError):
        standing.api.delete("Job", name)
        for left in standing.api.pods(f"{NAME}={name}"):
            standing.api.delete("Pod", left.name, grace=0)
        standing.cluster.machine.kill(pod.tasks if pod is not None else ())
        for kind, suffix in (("ConfigMap", "env"), ("Secret", "env"), ("Secret", "files")):
            standing.api.delete(kind, f"{name}-{suffix}")
