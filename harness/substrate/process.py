"""Nodes and tasks as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Thread
from typing import IO

from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Completed, Endpoint, NodeSpec
from harness.substrate.folders import drop_if_empty, remove_tree
from harness.substrate.ports import Port
from harness.substrate.processes import Known, Owner, end_all, family, send, stop_all
from harness.substrate.started import Started

TAIL, LINE = 40, 4096  # lines of standard error kept of a task, bytes of each
SHOWN = 5  # lines of a log shown in an error
LEAVE = 5.0  # seconds that a pipe may stay open after all who could write to it were killed


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


@dataclass(slots=True)
class Child:
    """A process that was started here, with all it starts: what they are found by, and how they are ended."""

    process: subprocess.Popen[bytes] = field(repr=False)
    known: Known
    owner: Owner

    @property
    def alive(self) -> bool:
        """Whether the process itself exists, frozen or not."""
        return self.process.poll() is None

    def end(self) -> None:
        """Kill it and all it started, also what outlived it; collect it. Raises TookTooLong."""
        end_all({self.known}, self.owner)
        self.process.wait()

    def freeze(self) -> None:
        """Stop it and all it started in mid-thought."""
        stop_all({self.known}, self.owner)

    def thaw(self) -> None:
        """Let them go on."""
        send(family({self.known}, self.owner), signal.SIGCONT)


@dataclass(slots=True)
class ProcessNode:
    """A node that is a process."""

    spec: NodeSpec
    ports: Mapping[str, Port] = field(repr=False)
    endpoints: Mapping[str, Endpoint]
    log: Path
    begin: Callable[[ProcessNode], None] = field(repr=False)
    running: Child | None = None
    leaves: tuple[Path, ...] = ()

    @property
    def child(self) -> subprocess.Popen[bytes] | None:
        """Its main process, None before the first start."""
        return self.running.process if self.running else None

    @property
    def alive(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self.running is not None and self.running.alive

    def start(self) -> None:
        """Start it and return once it is ready; a running node is left alone. Raises HarnessError."""
        if not self.alive:
            self.kill()  # what outlived it would be in the way
            self.begin(self)

    def kill(self) -> None:
        """End it and all it started, with no chance to tidy up. Its ports stay its own."""
        if self.running is not None:
            self.running.end()
            self._tidy()
            for port in self.ports.values():
                port.hold()

    def leave(self) -> None:
        """Give its ports back: it was ended, and will not be started again."""
        self._tidy()
        for port in self.ports.values():
            port.release()

    def _tidy(self) -> None:
        for path in self.leaves:
            path.unlink(missing_ok=True)

    def stop(self, patience: float) -> None:
        """Ask it to end in good order; kill it when `patience` seconds were not enough."""
        if self.running is not None and self.alive:
            self.running.thaw()
            self.running.process.send_signal(signal.Signals[f"SIG{self.spec.stop_signal}"])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.running.process.wait(patience)
        self.kill()

    def freeze(self) -> None:
        """Stop it and all it started in mid-thought."""
        if self.running is not None:
            self.running.freeze()

    def thaw(self) -> None:
        """Let them go on."""
        if self.running is not None:
            self.running.thaw()

    def endpoint(self, port: str) -> Endpoint:
        """Where its port of that name is; raises HarnessError for a name it has not."""
        if port not in self.endpoints:
            raise HarnessError(f"{self.spec.name} has no port {port!r}; it has {', '.join(self.endpoints) or 'none'}")
        return self.endpoints[port]


@dataclass(slots=True)
class RunningTask:
    """One-shot work under way as a process."""

    name: str
    running: Child
    log: Path
    home: Path
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    _threads: list[Thread] = field(default_factory=list, repr=False)

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """Its main process."""
        return self.running.process

    def follow(self, stdin: bytes) -> None:
        """Feed standard input and drain standard error, each in a thread of its own."""
        self._threads = [Thread(target=self._drain, daemon=True), Thread(target=self._feed, args=(stdin,), daemon=True)]
        for thread in self._threads:
            thread.start()

    def _feed(self, stdin: bytes) -> None:
        if self.child.stdin is not None:
            # Its exit code says why it stopped reading; closed is what leaving the block does.
            with contextlib.suppress(BrokenPipeError, ValueError), self.child.stdin as pipe:
                pipe.write(stdin)

    def _drain(self) -> None:
        if self.child.stderr is None:
            return
        with self.child.stderr as pipe, open_log(self.log) as log:
            while read := pipe.readline(LINE):
                if line := self._kept(read):
                    log.write(line)
                    self._tail.append(line.decode(errors="replace").rstrip())

    def _kept(self, line: bytes) -> bytes:
        """Return what of a line of standard error is the work's own."""
        return line

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
        self._join()
        return Completed(code, "\n".join(self._tail))

    def freeze(self) -> None:
        """Stop it in mid-thought."""
        self.running.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self.running.thaw()

    def __enter__(self) -> RunningTask:
        return self

    def __exit__(self, *details: object) -> None:
        try:
            self.running.end()
        finally:
            self._join()
            self.stdout.close()
            # Its files may hold secrets, and nobody needs them any more; nor an empty log.
            remove_tree(self.home)
            drop_if_empty(self.log)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(LEAVE)


def open_log(log: Path) -> IO[bytes]:
    """Open a log to append to, 0600: what programs say may be as private as their data."""
    log.touch(mode=0o600)
    return log.open("ab", buffering=0)


def pass_on(out: IO[bytes], data: bytes) -> None:
    """Write all of `data` to an unbuffered pipe, nothing of it once nobody reads there: the work may still write."""
    left = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while left:
            left = left[out.write(left) :]


def spawn(
    argv: tuple[str, ...], env: dict[str, str], cwd: Path, started: Started, owner: Owner, log: Path | None
) -> Child:
    """Start a process in a session of its own, journalled before and after; with `log`, its output goes there.

    Raises HarnessError when the program cannot be started.
    """
    site, _, name = owner.name.partition("/")
    if shutil.which(argv[0], path=env["PATH"]) is None:
        raise HarnessError(f"{name} on {site}: {argv[0]} is not a program here; run `blackstart doctor`")
    started.intend(site, name, argv[0])
    command = [*wrapper(), *argv]
    try:
        if log is None:
            process = subprocess.Popen(
                command, env=env, cwd=cwd, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        else:
            with open_log(log) as out:
                process = subprocess.Popen(
                    command, env=env, cwd=cwd, start_new_session=True,
                    stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                )  # fmt: skip
    except OSError as error:
        raise HarnessError(f"{name} on {site}: {argv[0]} cannot be started ({error.strerror})") from None
    try:
        return Child(process, started.began(process.pid), owner)
    except HarnessError:
        process.kill()
        process.wait()
        raise
