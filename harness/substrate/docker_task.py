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

from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.utils.socket import frames_iter

from harness.core.errors import TookTooLong
from harness.core.node import Completed
from harness.substrate.process import LEAVE, TAIL, open_log

STDOUT = 1  # the stream's number in the engine's attach protocol


@dataclass(slots=True)
class ContainerTask:
    """A task under way. `wait` returns its exit code once it has ended; `end` kills it, and removes what held it."""

    name: str
    stream: Any  # the engine's side of an attach, as docker-py returns it
    log: Path
    wait: Callable[[], int]
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
        raw: socket.socket = getattr(self.stream, "_sock", self.stream)
        with contextlib.suppress(OSError):  # its exit code says why it stopped reading
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
                    with contextlib.suppress(BrokenPipeError):  # nobody reads on; it may still write
                        out.write(data)
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
        """Wait for its end, at most `patience` seconds; raises TookTooLong."""
        if not self._drained.wait(patience):
            raise TookTooLong(f"task {self.name}: not done within {patience:g} s")
        return Completed(self.wait(), "\n".join(self._tail))

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
            self.end()
        finally:
            self.stdout.close()
            for thread in self._threads:
                thread.join(LEAVE)
            self.stream.close()
            if self.log.exists() and not self.log.stat().st_size:
                self.log.unlink()


def remove(container: Container) -> None:
    """Kill a container if it runs and remove it with its anonymous volumes; one that is gone is left alone."""
    with contextlib.suppress(NotFound):
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if "already in progress" not in str(error):
                raise
