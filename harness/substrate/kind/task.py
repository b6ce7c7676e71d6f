"""One-shot work in a pod: a Job that waits, and `kubectl exec` that does the work through it.

`kubectl` is a process of this machine like any other: journalled, ended, swept. What it passes on may lack its end
though its exit code is 0: on a busy machine the last 1.1 MB of a dump did not come. So the work says itself when all
was written, with its exit code, and waits then to be ended.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import IO

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Completed, Task
from harness.images.find import reference
from harness.kubernetes.api import Api
from harness.kubernetes.objects import MANAGED, NAME, OWNER, Manifest, Pod, pod_of
from harness.kubernetes.waiting import Died, await_ready
from harness.patience import PATIENCE
from harness.substrate.common.logs import pass_on
from harness.substrate.containers.workspace import Shell
from harness.substrate.embedded.task import RunningTask
from harness.substrate.kind.cluster import Standing
from harness.substrate.kind.manifests import meta, pod_of_ours, surroundings
from harness.substrate.kind.volume import OURS

TASK = "app.kubernetes.io/component"  # label of all pods that hold a task
LONGEST = 24 * 3600  # seconds that one may take
HOLD = 3600  # seconds in which all that was written has been passed on; its pod is removed long before
# A program that is not there is said before the work begins, with the shell's own code for it.
WAITS = b"waiting"
WAIT = f'command -v "$0" >/dev/null || exit 127; echo {WAITS.decode()}; exec sleep {LONGEST}'
NO_PROGRAM = 127
LOOK = 0.1  # seconds between two looks whether it waits
KUBECTLS = "command terminated with exit code"  # its last word, which is not the task's
# Runs what follows it, ends both outputs with its first argument, which is in neither, and stays a while: the streams
# of what has ended may be closed before all in them was passed on. The code is in three digits.
FRAME = 'end=$0; "$@"; code=$?; echo "$end" >&2; printf %s%03d "$end" $code; exec sleep {hold}'
DIGITS = 3
PIECE = 1 << 16  # bytes
BROKEN_OFF = 74  # the code of work whose output has no end: EX_IOERR of sysexits.h


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


def framed(argv: tuple[str, ...], hold: int) -> tuple[str, tuple[str, ...]]:
    """Return the word with which the output of a command will end, new each time, and the command that does so.

    `hold`: seconds that it stays then, unless it is ended.
    """
    end = secrets.token_hex(16)
    return end, ("sh", "-c", FRAME.format(hold=hold), end, *argv)


def parted(data: bytes, mark: bytes) -> tuple[bytes, bytes]:
    """Return what cannot belong to the mark and its digits, and the end of `data` that may be their beginning."""
    for at in range(max(0, len(data) - len(mark) - DIGITS), len(data)):
        word, digits = data[at : at + len(mark)], data[at + len(mark) :]
        if mark.startswith(word) and (not digits or digits.isdigit()):
            return data[:at], data[at:]
    return data, b""


@dataclass(slots=True)
class PodTask(RunningTask):
    """A task under way in a pod.

    `mark`: what ends its output; `end`: removes the pod; `hold`, `go`: freeze and thaw it.
    """

    mark: str = ""
    end: Callable[[], None] = field(default=lambda: None, repr=False)
    hold: Callable[[], None] = field(default=lambda: None, repr=False)
    go: Callable[[], None] = field(default=lambda: None, repr=False)
    _code: int | None = None
    _written: Event = field(default_factory=Event, repr=False)
    _said: Event = field(default_factory=Event, repr=False)
    _stdout: IO[bytes] | None = field(default=None, repr=False)

    def follow(self, stdin: bytes) -> None:
        """Feed standard input and take both outputs up to their ends, each in a thread of its own."""
        if (source := self.child.stdout) is None:
            raise HarnessError(f"task {self.name} has no output")
        reading, writing = os.pipe()
        self._stdout = os.fdopen(reading, "rb")
        RunningTask.follow(self, stdin)
        self._threads.append(Thread(target=self._pass_on, args=(source, writing), daemon=True))
        self._threads[-1].start()

    def _pass_on(self, source: IO[bytes], writing: int) -> None:
        """Write to a pipe what comes before the mark; what may be the beginning of the mark is held back."""
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

    def _kept(self, line: bytes) -> bytes:
        mark = self.mark.encode() + b"\n"
        if line.endswith(mark):
            self._said.set()
        return line.removesuffix(mark)

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes."""
        if self._stdout is None:
            raise HarnessError(f"task {self.name} was not followed")
        return self._stdout

    def finish(self, patience: float) -> Completed:
        """Wait for its end, at most `patience` seconds; raises TookTooLong.

        The code is BROKEN_OFF where `kubectl` ended well and the output has no end.
        """
        begun = SYSTEM.monotonic()
        if not self._written.wait(patience):
            raise TookTooLong(f"task {self.name}: not done within {patience:g} s")
        if self._code is not None:
            self._said.wait(PATIENCE.task_output_end)
            self.running.end()
            self._join()
            return Completed(self._code, "\n".join(self._tail))
        done = RunningTask.finish(self, max(PATIENCE.task_output_end, patience - (SYSTEM.monotonic() - begun)))
        lines = [line for line in done.errors.splitlines() if not line.startswith(KUBECTLS)]
        if done.code == 0:
            lines.append("error: its output broke off before its end; try again")
        return Completed(done.code or BROKEN_OFF, "\n".join(lines))

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
            self.stdout.close()  # nobody reads on: whoever passes it on need not wait
            RunningTask.__exit__(self, *details)


def wait_for_work(standing: Standing, task: Task, shell: Shell, name: str, where: str) -> Pod:
    """Return the pod of a task, once it waits; `where` begins the error. Raises HarnessError, nothing left behind."""
    image = task.image or OURS
    env = surroundings(shell, name)
    standing.claim(task.volumes)
    standing.require_image(image)
    try:
        standing.api.apply((*env, job_of(task, shell, name, reference(image))))
        pod = await_ready(standing.api, name, PATIENCE.pod_start, what=where)[0]
        wait_until(
            lambda: require_waiting(standing.api, pod.name, where),
            patience=PATIENCE.pod_start,
            on=NotYet,
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

    Raises NotYet while it does not, Died with the exit code when it ended, HarnessError.
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
    raise NotYet("its log does not say that it waits")


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
