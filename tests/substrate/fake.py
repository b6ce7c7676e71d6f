"""The fake substrate: sites in memory, the reference for all others, and quick enough for any test.

What a program does is told by a function, by the name in `argv[0]`: it is called once when a node or a task is
started and returns what comes of it.
"""

from __future__ import annotations

import io
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.core.node import Address, Completed, Endpoint, Node, NodeSpec, Running, Task, Volume
from harness.core.render import render
from harness.substrate.common.names import parts_of, plain
from harness.vault import read_text_secret

PORTS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Call:
    """What a program of the fake is given, placeholders filled in."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    files: Mapping[str, str] = field(repr=False)
    volumes: Mapping[str, Volume]
    stdin: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of it. `code`: None while it runs on; `answer`: what a client of the node is told."""

    code: int | None = None
    stdout: bytes = b""
    errors: str = ""
    answer: bytes = b""


Program = Callable[[Call], Outcome]


@dataclass(frozen=True, slots=True)
class MemoryVolume:
    """Storage that is a dictionary."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict, repr=False)

    def open(self, path: str, mode: str) -> IO[bytes]:
        """Open for `rb` or `wb`. Raises OSError, UsageError."""
        key = "/".join(parts_of(self.name, path))
        if mode == "wb":
            if any(key.startswith(f"{file}/") for file in self.files):
                raise UsageError(f"volume {self.name}: {path!r} leads through a link or a file")
            return _Writing(self.files, key)
        if mode != "rb":
            raise UsageError(f"volume {self.name}: mode {mode!r} is neither rb nor wb")
        if key not in self.files:
            raise FileNotFoundError(path)
        return io.BytesIO(self.files[key])

    def walk(self) -> Iterator[str]:
        """Every file in it, by relative path, in sorted order."""
        yield from sorted(self.files)

    def remove(self, path: str) -> None:
        """Delete one file, or a folder with all in it; what is not there is left alone."""
        key = PurePosixPath(*parts_of(self.name, path))
        for file in [file for file in self.files if PurePosixPath(file).is_relative_to(key)]:
            del self.files[file]

    @property
    def size(self) -> int:
        """Bytes in all its files."""
        return sum(map(len, self.files.values()))


class _Writing(io.BytesIO):
    def __init__(self, files: dict[str, bytes], key: str) -> None:
        super().__init__()
        self._files, self._key = files, key
        files[key] = b""

    def close(self) -> None:
        if not self.closed:
            self._files[self._key] = self.getvalue()
        super().close()


@dataclass(slots=True)
class FakeNode:
    """A node that is an object."""

    spec: NodeSpec
    site: FakeSite
    endpoints: Mapping[str, Endpoint]
    frozen: bool = False
    outcome: Outcome | None = field(default=None, repr=False)

    @property
    def alive(self) -> bool:
        """Whether it exists, frozen or not."""
        return self.outcome is not None

    def start(self) -> None:
        """Start it; a running node is left alone. Raises HarnessError."""
        if self.outcome is None:
            self.outcome, self.frozen = self.site.begin(self), False

    def kill(self) -> None:
        """End it; its data stays."""
        self.outcome = None

    def stop(self, patience: float) -> None:
        """Ask it to end, which it does at once; `patience` is for those that take longer."""
        del patience
        self.kill()

    def freeze(self) -> None:
        """Alive, and silent."""
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        self.frozen = False

    def endpoint(self, port: str) -> Endpoint:
        """Where its port of that name is; raises HarnessError for a name it has not."""
        if port not in self.endpoints:
            raise HarnessError(f"{self.spec.name} has no port {port!r}; it has {', '.join(self.endpoints) or 'none'}")
        return self.endpoints[port]

    def ask(self) -> bytes:
        """Return what a client is told; raises OSError when it is dead, TimeoutError when it is silent."""
        if self.outcome is None:
            raise ConnectionRefusedError(f"{self.spec.name} is not there")
        if self.frozen:
            raise TimeoutError(f"{self.spec.name} does not answer")
        return self.outcome.answer


@dataclass(slots=True)
class FakeTask:
    """A task that did its work before anybody looked, or will never end."""

    name: str
    outcome: Outcome = field(repr=False)
    stdout: IO[bytes] = field(repr=False)
    frozen: bool = False
    ended: bool = False

    def finish(self, patience: float) -> Completed:
        """Return how it ended; raises TookTooLong, without waiting, for one that does not end."""
        if self.frozen or self.outcome.code is None:
            raise TookTooLong(f"task {self.name}: not done within {patience:g} s")
        self.ended = True
        return Completed(self.outcome.code, self.outcome.errors)

    def freeze(self) -> None:
        """Stop it in mid-thought."""
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        self.frozen = False

    def __enter__(self) -> FakeTask:
        return self

    def __exit__(self, *details: object) -> None:
        self.ended = True
        self.stdout.close()


@dataclass(slots=True)
class FakeSite:
    """A place in memory."""

    name: str
    programs: Mapping[str, Program] = field(repr=False)
    logs: dict[str, deque[str]] = field(repr=False)
    runs_images: bool = False
    nodes: dict[str, FakeNode] = field(default_factory=dict)
    tasks: list[FakeTask] = field(default_factory=list)
    volumes: dict[str, MemoryVolume] = field(default_factory=dict)

    def launch(self, spec: NodeSpec) -> Node:
        """Start one node. Raises HarnessError with its last log lines."""
        former = self.nodes.get(plain("node", spec.name))
        if former is not None and former.alive:
            raise HarnessError(f"{spec.name} on {self.name}: already running; kill it before it is launched again")
        addresses = {name: Address("fake", next(PORTS)) for name in spec.ports}
        node = FakeNode(spec, self, {name: Endpoint(address, address) for name, address in addresses.items()})
        self.nodes[spec.name] = node
        node.start()
        return node

    def begin(self, node: FakeNode) -> Outcome:
        """Call a node's program; raises HarnessError when it ends instead of staying."""
        spec = node.spec
        if self.nodes.get(spec.name) is not node:
            raise HarnessError(f"{spec.name} on {self.name}: lost with its site, or replaced; launch it again")
        ports = {name: endpoint.inside for name, endpoint in node.endpoints.items()}
        if spec.first_files and not (files := self.volume(spec.volumes[0]).files):
            look = {"port": lambda name: str(ports[name].port)}
            files.update({path: render(text, look).encode() for path, text in spec.first_files.items()})
        outcome = self._call(spec, ports)
        log = self.logs.setdefault(f"{self.name}/{spec.name}", deque())
        log.extend(outcome.errors.splitlines())
        if outcome.code is not None:
            raise HarnessError(
                f"{spec.name} on {self.name} ended with code {outcome.code} before it was ready: "
                f"{log[-1] if log else 'no log'}"
            )
        return outcome

    def run(self, task: Task) -> Running:
        """Start one-shot work."""
        outcome = self._call(task, {}, task.stdin)
        running = FakeTask(plain("task", task.name), outcome, io.BytesIO(outcome.stdout))
        self.tasks.append(running)
        self.logs.setdefault(f"{self.name}/{task.name}-{len(self.tasks)}", deque(outcome.errors.splitlines()))
        return running

    def volume(self, name: str) -> MemoryVolume:
        """The volume of that name, made when it is not there."""
        return self.volumes.setdefault(plain("volume", name), MemoryVolume(name))

    def destroy(self) -> None:
        """Lose it: every node and task ended, every volume gone. Logs are kept."""
        for node in self.nodes.values():
            node.kill()
        for task in self.tasks:
            task.ended = True
        for volume in self.volumes.values():
            volume.files.clear()
        for kept in (self.nodes, self.tasks, self.volumes):
            kept.clear()

    def _call(self, spec: NodeSpec | Task, ports: Mapping[str, Address], stdin: bytes = b"") -> Outcome:
        def file(name: str) -> str:
            if name not in spec.files:
                raise KeyError(name)
            return f"{spec.name}/{name}"

        public: dict[str, Callable[[str], str]] = {
            "port": lambda name: str(ports[name].port),
            "bind": lambda name: ports[name].host,
            "volume": lambda name: self.volume(name).name,
            "file": file,
        }
        private = public | {"secret": lambda name: read_text_secret(spec.secrets[name])}
        argv = tuple(render(argument, public) for argument in spec.argv)
        if argv[0] not in self.programs:
            raise HarnessError(f"{spec.name} on {self.name}: {argv[0]} is not a program here")
        call = Call(
            argv,
            {name: render(value, private) for name, value in spec.env.items()},
            {name: render(text, private) for name, text in spec.files.items()},
            {name: self.volume(name) for name in spec.volumes},
            stdin,
        )
        return self.programs[argv[0]](call)


@dataclass(slots=True)
class Fake:
    """Everything in memory. `programs`: what each does; `logs`: output by `site/node`; `runs_images`: of its sites."""

    programs: Mapping[str, Program] = field(default_factory=dict, repr=False)
    logs: dict[str, deque[str]] = field(default_factory=dict, repr=False)
    name: str = "fake"
    here: str = "127.0.0.1"
    runs_images: bool = False
    sites: dict[str, FakeSite] = field(default_factory=dict)

    def site(self, name: str) -> FakeSite:
        """The site of that name, made empty when it is not there."""
        if name not in self.sites:
            self.sites[name] = FakeSite(plain("site", name), self.programs, self.logs, self.runs_images)
        return self.sites[name]

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy a folder of this machine into a volume."""
        target = self.site(site).volume(volume)
        for file in filter(Path.is_file, source.rglob("*")):
            target.files[file.relative_to(source).as_posix()] = file.read_bytes()

    def sweep(self) -> None:
        """Leave nothing behind but the logs."""
        while self.sites:
            self.sites.popitem()[1].destroy()
