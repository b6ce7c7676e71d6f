"""Nodes and tasks as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Thread
from typing import IO

import psutil

from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Completed, Endpoint, NodeSpec
from harness.substrate.started import Started, kill_tree

TAIL = 40  # lines of standard error kept of a task
SHOWN = 5  # lines of a log shown in an error


@cache
def wrapper() -> tuple[str, ...]:
    """Return what goes before every command: as root, a user namespace in which we are nobody.

    PostgreSQL and nginx refuse or avoid root; in the namespace files still belong to root outside it. Raises
    HarnessError where the kernel allows no user namespace.
    """
    if os.getuid() != 0:
        return ()
    prefix = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--")
    try:
        tried = subprocess.run([*prefix, "true"], check=False, capture_output=True)
    except OSError as error:
        raise HarnessError(f"running as root needs unshare ({error.strerror}); run as an ordinary user") from None
    if tried.returncode:
        raise HarnessError("running as root needs user namespaces, which are off here; run as an ordinary user")
    return prefix


def last_lines(log: Path, count: int = SHOWN) -> str:
    """Return the last lines of a log, in one line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "no log"
    # A stack trace's frames say less to an operator than the error above them.
    said = [line.strip() for line in lines if line.strip() and not line.strip().startswith("at ")]
    return " | ".join(said[-count:]) or "no log"


def signal_all(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and all its descendants."""
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            process.send_signal(number)
    except psutil.NoSuchProcess:
        return


@dataclass(slots=True)
class ProcessNode:
    """A node that is a process. `launch` starts it and waits until it is ready."""

    spec: NodeSpec
    endpoints: dict[str, Endpoint]
    log: Path
    launcher: NodeLauncher
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    leaves: tuple[Path, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self.child is not None and self.child.poll() is None

    def start(self) -> None:
        """Start it and return once it is ready; a running node is left alone. Raises HarnessError."""
        if not self.alive:
            self.launcher.start(self)

    def kill(self) -> None:
        """End it and all it started, with no chance to tidy up."""
        if self.child is not None:
            end(self.child)
        for path in self.leaves:
            path.unlink(missing_ok=True)

    def stop(self, patience: float) -> None:
        """Ask it to end in good order; kill it when `patience` seconds were not enough."""
        if self.child is None or not self.alive:
            return
        self.child.send_signal(signal.Signals[f"SIG{self.spec.stop_signal}"])
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(patience)
        self.kill()

    def freeze(self) -> None:
        """Stop it and all it started in mid-thought."""
        if self.child is not None:
            signal_all(self.child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        if self.child is not None:
            signal_all(self.child.pid, signal.SIGCONT)

    def endpoint(self, port: str) -> Endpoint:
        """Where its port of that name is; raises HarnessError for a name it has not."""
        if port not in self.endpoints:
            raise HarnessError(f"{self.spec.name} has no port {port!r}; it has {', '.join(self.endpoints) or 'none'}")
        return self.endpoints[port]


class NodeLauncher:
    """What a node is started by; the substrate implements it."""

    def start(self, node: ProcessNode) -> None:
        """Start the node's process and wait until it is ready."""
        raise NotImplementedError


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill a child process with all its descendants and collect it."""
    if child.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            kill_tree([psutil.Process(child.pid)])
    child.wait()


@dataclass(slots=True)
class RunningTask:
    """One-shot work under way as a process."""

    name: str
    child: subprocess.Popen[bytes]
    log: Path
    home: Path
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    _reader: Thread | None = None

    def follow(self, stdin: bytes) -> None:
        """Feed standard input and drain standard error, each in a thread of its own."""
        self._reader = Thread(target=self._drain, daemon=True)
        self._reader.start()
        Thread(target=self._feed, args=(stdin,), daemon=True).start()

    def _feed(self, stdin: bytes) -> None:
        if self.child.stdin is None:
            return
        try:
            self.child.stdin.write(stdin)
            self.child.stdin.close()
        except (BrokenPipeError, ValueError):
            return  # its exit code says why it stopped reading

    def _drain(self) -> None:
        if self.child.stderr is None:
            return
        with self.log.open("ab") as log:
            for line in self.child.stderr:
                log.write(line)
                self._tail.append(line.decode(errors="replace").rstrip())

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes."""
        if self.child.stdout is None:
            raise HarnessError(f"task {self.name} has no output")
        return self.child.stdout

    def finish(self, patience: float) -> Completed:
        """Wait for its end, at most `patience` seconds; raises TookTooLong."""
        try:
            code = self.child.wait(patience)
        except subprocess.TimeoutExpired:
            raise TookTooLong(f"task {self.name}: not done within {patience:g} s") from None
        if self._reader is not None:
            self._reader.join(5)
        return Completed(code, "\n".join(self._tail))

    def freeze(self) -> None:
        """Stop it in mid-thought."""
        signal_all(self.child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        signal_all(self.child.pid, signal.SIGCONT)

    def __enter__(self) -> RunningTask:
        return self

    def __exit__(self, *details: object) -> None:
        end(self.child)
        if self._reader is not None:
            self._reader.join(5)
        # Its files may hold secrets, and nobody needs them any more; nor an empty log.
        shutil.rmtree(self.home, ignore_errors=True)
        if self.log.exists() and not self.log.stat().st_size:
            self.log.unlink()
        for pipe in (self.child.stdout, self.child.stderr, self.child.stdin):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def spawn(
    argv: tuple[str, ...], env: dict[str, str], cwd: Path, started: Started, label: tuple[str, str], log: Path | None
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, journalled before and after; with `log`, its output goes there.

    Raises HarnessError when the program cannot be started.
    """
    started.intend(*label, argv[0])
    command = [*wrapper(), *argv]
    try:
        if log is None:
            child = subprocess.Popen(
                command, env=env, cwd=cwd, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        else:
            with log.open("ab") as out:
                child = subprocess.Popen(
                    command, env=env, cwd=cwd, start_new_session=True,
                    stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                )  # fmt: skip
    except OSError as error:
        raise HarnessError(f"{label[1]} on {label[0]}: {argv[0]} cannot be started ({error.strerror})") from None
    started.began(child.pid)
    return child
