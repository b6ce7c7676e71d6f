"""A task that is a container, or a command executed in the container of a node."""

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from docker.errors import NotFound
from docker.models.containers import Container
from docker.utils.socket import frames_iter

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError
from harness.images import inside
from harness.images.engine import engine, explained
from harness.patience import PATIENCE
from harness.substrate.common.logs import open_log, pass_on
from harness.substrate.common.task import StreamedTask
from harness.substrate.docker.node import LIVING

STDOUT = 1  # number of the stream in the engine's attach protocol
LOST = 137  # exit code of a command that was killed with its container, and of one whose code is not known
WORK = "BLACKSTART_WORK"  # variable in the environment of a command in a node's container, with a value of its own
# The engine cannot kill a command that it executes in a container; a process of the same user can.
END = """
while found=$(grep -lszxF -e "$0" /proc/[0-9]*/environ); [ -n "$found" ]; do
  for file in $found; do pid=${file#/proc/}; kill -KILL "${pid%/environ}" 2>/dev/null; done
done
"""


def limited(command: list[str], seconds: float) -> list[str]:
    """Return a command that is killed when it takes longer; its exit code is 124 or 137 then."""
    return ["timeout", "--kill-after=1", f"{seconds:g}", *command]


def code_of(container: Container, what: str) -> int:
    """Return a container's exit code once it has ended, LOST when it was removed. Raises HarnessError."""
    code = LOST
    with explained(what), contextlib.suppress(NotFound):
        code = int(container.wait()["StatusCode"])
    return code


@dataclass(slots=True)
class Within:
    """A command in the container of a node. `made`: its id on the engine; `tag`: its value of the variable WORK."""

    what: str
    container: Container
    made: str
    tag: str
    user: str
    _ended: bool = False

    def code(self, patience: float) -> int:
        """Return its exit code once it has ended, LOST when its node ended. Raises TookTooLong, HarnessError."""
        code = wait_until(self._code, patience=patience, what=self.what)
        self._ended = True
        return code

    def _code(self) -> int:
        found: dict[str, Any] = {}
        with explained(self.what), contextlib.suppress(NotFound):
            found = engine().api.exec_inspect(self.made)
        if found.get("Running") and self._node_lives():
            raise NotYet("it runs")
        code = found.get("ExitCode")
        return LOST if code is None or found.get("Running") else int(code)

    def _node_lives(self) -> bool:
        with explained(self.what), contextlib.suppress(NotFound):
            self.container.reload()
            return self.container.status in LIVING
        return False

    def end(self) -> None:
        """Kill it with all processes that it started, unless it has ended. Raises HarnessError."""
        if self._ended:
            return
        command = limited(["sh", "-c", END, f"{WORK}={self.tag}"], PATIENCE.task_kill)
        try:
            with explained(self.what):
                code, said = inside.execute(self.container, command, user=self.user)
        except HarnessError:
            if self._node_lives():
                raise
            return  # the node ended, and the command with it
        if code != 0 and self._node_lives():
            words = " ".join(said.decode(errors="replace").split())
            raise HarnessError(f"{self.what}: not ended, code {code}: {words or 'silent'}")


@dataclass(slots=True)
class ContainerTask(StreamedTask):
    """A running task. `wait`: returns its exit code once it has ended, within seconds."""

    stream: Any  # the engine's side of an attach, as docker-py returns it
    wait: Callable[[float], int]
    _drained: Event = field(default_factory=Event, repr=False)

    def follow(self, stdin: bytes) -> None:
        """Feed standard input, and take both outputs, each in a thread."""
        reading, writing = os.pipe()
        self._stdout = os.fdopen(reading, "rb")
        raw = inside.input_of(self.stream)  # before a short task ends: a closed stream has no socket
        self._in_threads(lambda: self._drain(writing), lambda: self._feed(raw, stdin))

    def _feed(self, raw: socket.socket, stdin: bytes) -> None:
        with contextlib.suppress(OSError):  # why it stopped reading is told by its exit code
            raw.sendall(stdin)
            raw.shutdown(socket.SHUT_WR)

    def _drain(self, writing: int) -> None:
        with (
            open(writing, "wb", buffering=0) as out,
            open_log(self.log) as log,
            contextlib.suppress(OSError, ValueError),
        ):
            for number, data in frames_iter(self.stream, tty=False):
                if number == STDOUT:
                    pass_on(out, data)
                else:
                    self._keep(log, data)
        inside.close(self.stream)
        self._drained.set()

    def _exit_code(self, patience: float) -> int:
        begun = SYSTEM.monotonic()
        self._await(self._drained, patience)
        return self.wait(max(patience - (SYSTEM.monotonic() - begun), PATIENCE.exit_code))
