"""One-shot work in a container of its own, or among the processes of a node."""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

from docker.errors import NotFound
from docker.models.containers import Container
from docker.utils.socket import frames_iter

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Completed
from harness.images import inside
from harness.images.engine import engine, explained
from harness.patience import PATIENCE
from harness.substrate.common.filesystem import drop_if_empty
from harness.substrate.common.logs import TAIL, open_log, pass_on
from harness.substrate.docker.node import LIVING

STDOUT = 1  # the stream's number in the engine's attach protocol
LOST = 137  # the code of what was killed along with its container, and of what ended and nobody can say how
WORK = "BLACKSTART_WORK"  # in the environment of all that work within a node starts: a value of its own
# The engine cannot kill what it executed in a container; a process of the same user can.
END = """
while found=$(grep -lszxF -e "$0" /proc/[0-9]*/environ); [ -n "$found" ]; do
  for file in $found; do pid=${file#/proc/}; kill -KILL "${pid%/environ}" 2>/dev/null; done
done
"""


def limited(command: list[str], seconds: float) -> list[str]:
    """Return a command that is ended when it takes longer, whoever waits for it; its code is 124 or 137 then."""
    return ["timeout", "--kill-after=1", f"{seconds:g}", *command]


def code_of(container: Container, what: str) -> int:
    """Return a container's exit code once it has ended, LOST of one that is gone. Raises HarnessError."""
    code = LOST
    with explained(what), contextlib.suppress(NotFound):
        code = int(container.wait()["StatusCode"])
    return code


@dataclass(slots=True)
class Within:
    """Work among the processes of a node, which the engine calls `made`. `tag`: what its environment has of WORK."""

    what: str
    container: Container
    made: str
    tag: str
    user: str
    _known: bool = False

    def code(self, patience: float) -> int:
        """Return its exit code once it has ended, LOST when its node did. Raises TookTooLong, HarnessError."""
        code = wait_until(self._code, patience=patience, what=self.what)
        self._known = True
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
        """Kill it with all it started, unless it is known to have ended. Raises HarnessError."""
        if self._known:
            return
        command = limited(["sh", "-c", END, f"{WORK}={self.tag}"], PATIENCE.task_kill)
        try:
            with explained(self.what):
                code, said = inside.execute(self.container, command, user=self.user)
        except HarnessError:
            if self._node_lives():
                raise
            return  # and so did all that was in it
        if code != 0 and self._node_lives():
            words = " ".join(said.decode(errors="replace").split())
            raise HarnessError(f"{self.what}: not ended, code {code}: {words or 'silent'}")


@dataclass(slots=True)
class ContainerTask:
    """A task under way. `wait`: its code once it has ended, within seconds; `end`: kill it, and remove what held it."""

    name: str
    stream: Any  # the engine's side of an attach, as docker-py returns it
    log: Path
    wait: Callable[[float], int]
    end: Callable[[], None]
    container: Container | None = None
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    _threads: list[Thread] = field(default_factory=list, repr=False)
    _drained: Event = field(default_factory=Event, repr=False)
    _stdout: IO[bytes] | None = field(default=None, repr=False)

    def follow(self, stdin: bytes) -> None:
        """Feed standard input and take what it writes, each in a thread of its own."""
        reading, writing = os.pipe()
        self._stdout = os.fdopen(reading, "rb")
        self._threads = [
            Thread(target=self._drain, args=(writing,), daemon=True),
            Thread(target=self._feed, args=(stdin,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _feed(self, stdin: bytes) -> None:
        with contextlib.suppress(OSError):  # its exit code says why it stopped reading
            raw = inside.input_of(self.stream)
            raw.sendall(stdin)
            raw.shutdown(socket.SHUT_WR)

    def _drain(self, writing: int) -> None:
        with (
            open(writing, "wb", buffering=0) as out,
            open_log(self.log) as log,
            contextlib.suppress(OSError, ValueError),
        ):
            rest = b""
            for number, data in frames_iter(self.stream, tty=False):
                if number == STDOUT:
                    pass_on(out, data)
                    continue
                log.write(data)
                *lines, rest = (rest + data).split(b"\n")
                self._tail.extend(line.decode(errors="replace").rstrip() for line in lines)
            if rest:
                self._tail.append(rest.decode(errors="replace").rstrip())
        self._drained.set()

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes."""
        if self._stdout is None:
            raise ValueError(f"task {self.name} was not followed")
        return self._stdout

    def finish(self, patience: float) -> Completed:
        """Wait for its end, at most `patience` seconds; raises TookTooLong, HarnessError."""
        begun = SYSTEM.monotonic()
        if not self._drained.wait(patience):
            raise TookTooLong(f"task {self.name}: not done within {patience:g} s")
        left = patience - (SYSTEM.monotonic() - begun)
        return Completed(self.wait(max(left, PATIENCE.exit_code)), "\n".join(self._tail))

    def freeze(self) -> None:
        """Stop it in mid-thought."""
        if self.container is not None:
            self.container.pause()

    def thaw(self) -> None:
        """Let it go on."""
        if self.container is not None:
            self.container.unpause()

    def __enter__(self) -> ContainerTask:
        return self

    def __exit__(self, *details: object) -> None:
        try:
            # The engine ends nothing whose output it cannot get rid of: let go first of what nobody reads any more.
            self.stdout.close()
            self.end()
        finally:
            for thread in self._threads:
                thread.join(PATIENCE.pipe_close)
            inside.close(self.stream)
            drop_if_empty(self.log)
