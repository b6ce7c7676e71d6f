"""The fake substrate: sites in memory, the reference for all others, and fast enough for any test.

A program is a function, found by the name in `argv[0]`: it is called once when a node or a task is started, and returns
its outcome.
"""

from __future__ import annotations

import errno
import io
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.core.node import FILE, FOLDER, Address, Completed, Endpoint, Entry, NodeSpec, Running, Skips, Task, Volume
from harness.substrate.common.filesystem import parts_of, plain
from harness.substrate.common.site import BaseNode, BaseSite
from harness.substrate.common.workspace import Workspace

PORTS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Call:
    """What a program is called with, placeholders filled in. `site`: where it runs."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    files: Mapping[str, str] = field(repr=False)
    volumes: Mapping[str, Volume]
    stdin: bytes = field(default=b"", repr=False)
    site: FakeSite | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a program. `code`: its exit code, None while it runs; `answer`: the node's answer to a client."""

    code: int | None = None
    stdout: bytes = b""
    errors: str = ""
    answer: bytes = b""


Program = Callable[[Call], Outcome]


@dataclass(frozen=True, slots=True)
class MemoryVolume:
    """A volume that is a dictionary."""

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

    def scan(self, folder: str, skips: Skips | None = None) -> Iterator[Entry]:
        """Yield every file below `folder` that is not passed over, sorted; a folder without any file does not exist."""
        below = f"{folder}/" if folder else ""
        for path in sorted(self.files):
            if path.startswith(below) and not (skips is not None and skips(path)):
                yield Entry(path, FILE, len(self.files[path]))

    def inspect(self, path: str) -> Entry:
        """Return what is at a path; raises FileNotFoundError."""
        key = "/".join(parts_of(self.name, path))
        if key in self.files:
            return Entry(path, FILE, len(self.files[key]))
        if any(file.startswith(f"{key}/") for file in self.files):
            return Entry(path, FOLDER)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

    def adjust(self, entry: Entry) -> Entry:
        """Return the entry: files have neither mode nor mtime."""
        return entry

    def walk(self) -> Iterator[str]:
        """Yield the relative path of every file in it, sorted."""
        yield from sorted(self.files)

    def remove(self, path: str) -> None:
        """Delete a file or a folder with all in it; a path that does not exist is no error."""
        key = PurePosixPath(*parts_of(self.name, path))
        for file in [file for file in self.files if PurePosixPath(file).is_relative_to(key)]:
            del self.files[file]

    @property
    def size(self) -> int:
        """Total size of its files in bytes."""
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
class FakeNode(BaseNode):
    """A node that is an object."""

    outcome: Outcome | None = field(default=None, repr=False)
    frozen: bool = False
    isolated: bool = False

    @property
    def alive(self) -> bool:
        """Whether it exists, frozen or not."""
        return self.outcome is not None

    @property
    def reached(self) -> bool:
        """Whether a client reaches it."""
        return self.alive and not self.frozen and not self.isolated

    def kill(self) -> None:
        """End it; its data stays."""
        self.outcome = None

    def stop(self, patience: float) -> None:
        """End it at once, whatever the `patience`."""
        del patience
        self.kill()

    def discard(self) -> None:
        """End it."""
        self.kill()

    def freeze(self) -> None:
        """Suspend it: it exists, and answers nothing."""
        self.frozen = True

    def thaw(self) -> None:
        """Resume it."""
        self.frozen = False

    def ask(self) -> bytes:
        """Return its answer to a client; raises OSError when it is dead or isolated, TimeoutError when it is frozen."""
        if self.outcome is None or self.isolated:
            raise ConnectionRefusedError(f"{self.spec.name} is not reached")
        if self.frozen:
            raise TimeoutError(f"{self.spec.name} does not answer")
        return self.outcome.answer


@dataclass(slots=True)
class FakeTask:
    """A task that has ended already, or never ends."""

    name: str
    outcome: Outcome = field(repr=False)
    stdout: IO[bytes] = field(repr=False)
    ended: bool = False

    def finish(self, patience: float) -> Completed:
        """Return its result; raises TookTooLong, without waiting, when it never ends."""
        if self.outcome.code is None:
            raise TookTooLong(f"task {self.name}: not done within {patience:g} s")
        self.ended = True
        return Completed(self.outcome.code, self.outcome.errors)

    def __enter__(self) -> FakeTask:
        return self

    def __exit__(self, *details: object) -> None:
        self.ended = True
        self.stdout.close()


@dataclass(slots=True)
class FakeSite(BaseSite[FakeNode]):
    """A site in memory."""

    programs: Mapping[str, Program] = field(repr=False)
    logs: dict[str, deque[str]] = field(repr=False)
    runs_images: bool = False
    isolated: bool = False
    tasks: list[FakeTask] = field(default_factory=list)
    volumes: dict[str, MemoryVolume] = field(default_factory=dict)

    @property
    def nodes(self) -> tuple[FakeNode, ...]:
        """Its nodes."""
        return tuple(self._nodes.values())

    def _make(self, spec: NodeSpec) -> FakeNode:
        addresses = {name: Address("fake", next(PORTS)) for name in spec.ports}
        endpoints = {name: Endpoint(address, address) for name, address in addresses.items()}
        return FakeNode(spec, f"{spec.name} on {self.name}", {}, endpoints, Path(), self._begin)

    def _start(self, node: FakeNode) -> None:
        spec = node.spec
        workspace = self._workspace(spec, {name: endpoint.inside for name, endpoint in node.endpoints.items()})
        if spec.first_files and not (files := self.volume(spec.volumes[0]).files):
            files.update({path: workspace.text(text).encode() for path, text in spec.first_files.items()})
        outcome = self._call(workspace)
        log = self.logs.setdefault(f"{self.name}/{spec.name}", deque())
        log.extend(outcome.errors.splitlines())
        if outcome.code is not None:
            last = log[-1] if log else "no log"
            raise HarnessError(f"{node.where} ended with code {outcome.code} before it was ready: {last}")
        node.outcome, node.frozen, node.isolated = outcome, False, self.isolated

    def _workspace(self, spec: NodeSpec | Task, ports: Mapping[str, Address]) -> Workspace:
        return Workspace(spec.name, spec, ports, spec.name, lambda name: self.volume(name).name)

    def run(self, task: Task) -> Running:
        """Start one-shot work."""
        outcome = self._call(self._workspace(task, {}), task.stdin)
        running = FakeTask(plain("task", task.name), outcome, io.BytesIO(outcome.stdout))
        self.tasks.append(running)
        self.logs.setdefault(f"{self.name}/{task.name}-{len(self.tasks)}", deque(outcome.errors.splitlines()))
        return running

    def volume(self, name: str) -> MemoryVolume:
        """Return the volume of that name, created when it does not exist."""
        return self.volumes.setdefault(plain("volume", name), MemoryVolume(name))

    def isolate(self) -> None:
        """Let no client reach its nodes; tasks reach them."""
        self.isolated = True
        for node in self.nodes:
            node.isolated = True

    def rejoin(self) -> None:
        """Let clients reach them again."""
        self.isolated = False
        for node in self.nodes:
            node.isolated = False

    def destroy(self) -> None:
        """End every node and task and remove every volume. Logs are kept."""
        for node in self._forget_nodes():
            node.kill()
        for task in self.tasks:
            task.ended = True
        for volume in self.volumes.values():
            volume.files.clear()
        self.tasks.clear()
        self.volumes.clear()

    def _call(self, workspace: Workspace, stdin: bytes = b"") -> Outcome:
        spec, argv = workspace.spec, tuple(workspace.arguments(workspace.spec.argv))
        if argv[0] not in self.programs:
            raise HarnessError(f"{spec.name} on {self.name}: {argv[0]} is not a program here")
        volumes = {name: self.volume(name) for name in spec.volumes}
        call = Call(argv, workspace.environment(), workspace.contents(), volumes, stdin, self)
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
        """Return the site of that name, created empty when it does not exist."""
        if name not in self.sites:
            self.sites[name] = FakeSite(plain("site", name), self.programs, self.logs, self.runs_images)
        return self.sites[name]

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy a folder of prepared data into a volume."""
        target = self.site(site).volume(volume)
        for file in filter(Path.is_file, source.rglob("*")):
            target.files[file.relative_to(source).as_posix()] = file.read_bytes()

    def sweep(self) -> None:
        """Remove everything but the logs."""
        while self.sites:
            self.sites.popitem()[1].destroy()
