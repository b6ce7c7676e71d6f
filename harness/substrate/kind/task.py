"""A task in a pod: a Job whose pod sleeps, and `kubectl exec` that runs the command in it.

`kubectl` is a process of this machine like any other: journalled, killed, swept. Its output may be cut off although its
exit code is 0: on a busy machine the last 1.1 MB of a dump were missing. So the command itself reports, with its exit
code, that all was written, and then waits to be killed.
"""

import contextlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Event
from typing import IO

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError, NodeExited
from harness.core.node import Completed, Task
from harness.images.find import reference
from harness.kubernetes.api import Api
from harness.kubernetes.objects import MANAGED, NAME, OWNER, Manifest, Pod, pod_of
from harness.kubernetes.waiting import await_ready
from harness.patience import PATIENCE
from harness.substrate.common.logs import pass_on
from harness.substrate.common.workspace import Workspace
from harness.substrate.embedded.task import ProcessTask
from harness.substrate.kind.manifests import config_of, meta, pod_template
from harness.substrate.kind.namespace import ClusterNamespace
from harness.substrate.kind.volume import OURS

TASK = "app.kubernetes.io/component"  # label of the pods of tasks
LONGEST = 24 * 3600  # seconds that a task may take
HOLD = 3600  # seconds that a finished command waits until its output was passed on; its pod is deleted long before
# A missing program is reported before the command runs, with the shell's exit code for it.
WAITS = b"waiting"
WAIT = f'command -v "$0" >/dev/null || exit 127; echo {WAITS.decode()}; exec sleep {LONGEST}'
NO_PROGRAM = 127
LOOK = 0.1  # seconds between two looks at the log of a pod
KUBECTLS = "command terminated with exit code"  # kubectl's own last line of standard error
# Runs the command, ends both outputs with the mark, which neither contains, and sleeps: the streams of a command that
# exits may be closed before all of it was passed on. The exit code has three digits.
FRAME = 'end=$0; "$@"; code=$?; echo "$end" >&2; printf %s%03d "$end" $code; exec sleep {hold}'
DIGITS = 3
PIECE = 1 << 16  # bytes
BROKEN_OFF = 74  # exit code of a task whose output was cut off: EX_IOERR of sysexits.h


def job_of(program: str, workspace: Workspace, name: str, image: str) -> Manifest:
    """Return the Job whose pod waits for the command of a task."""
    container = {"name": "task", "image": image, "command": ["sh", "-c", WAIT, program]}
    template = pod_template(container, workspace, name, {NAME: name, MANAGED: OWNER, TASK: "task"})
    template["spec"] |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta(name, name),
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": LONGEST, "template": template},
    }


def framed(argv: Iterable[str], hold: int) -> tuple[str, tuple[str, ...]]:
    """Return a random mark, and the command line that ends the output of a command with it.

    `hold`: seconds that it sleeps afterwards, unless it is killed.
    """
    end = secrets.token_hex(16)
    return end, ("sh", "-c", FRAME.format(hold=hold), end, *argv)


def parted(data: bytes, mark: bytes) -> tuple[bytes, bytes]:
    """Split `data` into what cannot belong to the mark and its digits, and its end that may be their beginning."""
    for at in range(max(0, len(data) - len(mark) - DIGITS), len(data)):
        word, digits = data[at : at + len(mark)], data[at + len(mark) :]
        if mark.startswith(word) and (not digits or digits.isdigit()):
            return data[:at], data[at:]
    return data, b""


@dataclass(slots=True)
class PodTask(ProcessTask):
    """A running task in a pod, through `kubectl`. `mark`: ends its output."""

    mark: str
    _code: int | None = None
    _written: Event = field(default_factory=Event, repr=False)
    _marked: Event = field(default_factory=Event, repr=False)

    def follow(self, stdin: bytes) -> None:
        """Feed standard input and take both outputs up to their marks, each in a thread."""
        ProcessTask.follow(self, stdin)
        reading, writing = os.pipe()
        source, self._stdout = self.stdout, os.fdopen(reading, "rb")
        self._in_threads(lambda: self._pass_on(source, writing))

    def _pass_on(self, source: IO[bytes], writing: int) -> None:
        """Write to a pipe what comes before the mark; a possible beginning of the mark is kept back."""
        mark, held = self.mark.encode(), b""
        try:
            with source, open(writing, "wb", buffering=0) as out:
                while self._code is None and (piece := os.read(source.fileno(), PIECE)):
                    passed, held = parted(held + piece, mark)
                    pass_on(out, passed)
                    if len(held) == len(mark) + DIGITS:
                        self._code, held = int(held[-DIGITS:]), b""
                pass_on(out, held)
        finally:
            self._written.set()

    def _own(self, line: bytes) -> bytes:
        mark = self.mark.encode() + b"\n"
        if line.endswith(mark):
            self._marked.set()
        return line.removesuffix(mark)

    def finish(self, patience: float) -> Completed:
        """Wait for its end, at most `patience` seconds, and return its result; raises TookTooLong.

        Its exit code is BROKEN_OFF where `kubectl` exited with 0 and the output has no mark.
        """
        begun = SYSTEM.monotonic()
        self._await(self._written, patience)
        if self._code is not None:
            self._marked.wait(PATIENCE.task_output_end)
            self.running.end()
            self._join()
            return Completed(self._code, self.errors)
        done = ProcessTask.finish(self, max(PATIENCE.task_output_end, patience - (SYSTEM.monotonic() - begun)))
        lines = [line for line in done.errors.splitlines() if not line.startswith(KUBECTLS)]
        if done.code == 0:
            lines.append("error: its output was cut off; try again")
        return Completed(done.code or BROKEN_OFF, "\n".join(lines))


def begin_pod(namespace: ClusterNamespace, task: Task, workspace: Workspace, name: str, where: str) -> Pod:
    """Return the pod of a task, once it waits for the command; `where` begins the error.

    Raises HarnessError, and leaves nothing behind then.
    """
    image, program = task.image or OURS, workspace.arguments(task.argv)[0]
    config = config_of(workspace, name)
    namespace.claim(task.volumes)
    namespace.require_image(image)
    try:
        namespace.api.apply((*config, job_of(program, workspace, name, reference(image))))
        pod = await_ready(namespace.api, name, PATIENCE.pod_start, what=where)[0]
        wait_until(
            lambda: require_waiting(namespace.api, pod.name, where),
            patience=PATIENCE.pod_start,
            every=LOOK,
            what=f"{where}: ready",
        )
    except HarnessError as error:
        end_pod(namespace, name, None)
        if isinstance(error, NodeExited) and error.code == NO_PROGRAM:
            raise HarnessError(f"{where}: {program} is not a program here; image {image} has none") from None
        raise
    return pod


def require_waiting(api: Api, pod: str, where: str) -> None:
    """Do nothing once the log of a task's pod says that it waits: it may be ready before it looked for its program.

    Raises NotYet until then, NodeExited with the exit code when it ended, HarnessError.
    """
    if WAITS in api.logs(pod, "task"):
        return
    found = api.get("Pod", pod)
    now = pod_of(found) if found is not None else None
    for container in now.containers if now is not None else ():
        if container.code is not None and not container.running:
            said = f"{where}: its pod ended with code {container.code} before the command ran"
            raise NodeExited(said, container.code)
    if now is None or not now.alive:
        raise HarnessError(f"{where}: its pod was deleted before the command ran; try again")
    raise NotYet("its log does not say that it waits")


def end_pod(namespace: ClusterNamespace | None, name: str, pod: Pod | None) -> None:
    """SIGKILL the pod of a task, and delete all objects of it; the cluster may have been destroyed."""
    if namespace is None or not name:
        return
    with contextlib.suppress(HarnessError):
        namespace.api.delete("Job", name)
        for left in namespace.api.pods(f"{NAME}={name}"):
            namespace.api.delete("Pod", left.name, grace=0)
        namespace.machine.kill(pod.tasks if pod is not None else ())
        for kind, suffix in (("ConfigMap", "env"), ("Secret", "env"), ("Secret", "files")):
            namespace.api.delete(kind, f"{name}-{suffix}")
