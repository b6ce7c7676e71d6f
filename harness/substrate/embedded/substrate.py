"""The embedded substrate: sites are folders, nodes are processes of this machine."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.core.node import Address, Endpoint, Node, NodeSpec, Running, Task, Volume
from harness.patience import PATIENCE
from harness.substrate.common.filesystem import make_folder, remove_tree
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.common.logs import last_lines
from harness.substrate.common.names import plain
from harness.substrate.common.ports import LOOPBACK, on_free_ports, take_port
from harness.substrate.common.probe import UNANSWERED, ask, probe
from harness.substrate.embedded.node import ProcessNode
from harness.substrate.embedded.process_tree import Owner, end_all
from harness.substrate.embedded.spawn import Child, spawn, wrapper
from harness.substrate.embedded.start_journal import Started, sweep
from harness.substrate.embedded.task import RunningTask
from harness.substrate.embedded.workspace import Room, volume_folder

SPOOL = "spool"  # the volume whose files are plaintext of a backup: journalled one by one


class Died(HarnessError):
    """A node ended before it was ready."""


@dataclass(slots=True)
class EmbeddedSite:
    """One site: a folder with volumes and files, and the processes that use them."""

    name: str
    run_folder: Path
    logs: Path
    started: Started
    _nodes: dict[str, ProcessNode] = field(default_factory=dict)
    _tasks: list[Child] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: Lock = field(default_factory=Lock)

    @property
    def folder(self) -> Path:
        """Where the site's volumes and files lie."""
        return self.run_folder / "sites" / self.name

    def launch(self, spec: NodeSpec) -> Node:
        """Start one node and return once it is ready. Raises HarnessError with its last log lines."""
        return on_free_ports(lambda: self._launch(spec))

    def _launch(self, spec: NodeSpec) -> Node:
        with self._lock:
            former = self._nodes.get(plain("node", spec.name))
            if former is not None and former.alive:
                raise HarnessError(f"{spec.name} on {self.name}: already running; kill it before it is launched again")
            ports = {name: take_port() for name in spec.ports}
            addresses = {name: Address(LOOPBACK, port.number) for name, port in ports.items()}
            endpoints = {name: Endpoint(address, address) for name, address in addresses.items()}
            node = ProcessNode(spec, ports, endpoints, self._log(spec.name), self._begin)
            self._nodes[spec.name] = node
        if former is not None:
            former.kill()
            former.leave()
        node.start()
        return node

    def _begin(self, node: ProcessNode) -> None:
        spec = node.spec
        if self._nodes.get(spec.name) is not node:
            raise HarnessError(f"{spec.name} on {self.name}: lost with its site, or replaced; launch it again")
        inside = {name: endpoint.inside for name, endpoint in node.endpoints.items()}
        room = self._room(spec.name, spec, inside)
        argv, env = room.arguments(spec.argv), room.environment(spec.env)
        room.write_files()
        volumes = [room.volume(name) for name in spec.volumes]
        for name, port in node.ports.items():
            port.hand_over(f"{spec.name} on {self.name}: port {name}")
        if (spec.first_run or spec.first_files) and not any(volumes[0].iterdir()):
            self._first_run(room, spec, env, node.log, volumes[0])
            for target, text in spec.first_files.items():
                with self.volume(spec.volumes[0]).open(target, "wb") as file:
                    file.write(room.text(text).encode())
        node.leaves = tuple(map(Path, room.arguments(spec.leaves)))
        for path in node.leaves:
            self.started.note_file(path)
        node.running = spawn(argv, env, room.home, self.started, room.owner, node.log)
        self._await_ready(node, room, env)

    def _first_run(self, room: Room, spec: NodeSpec, env: dict[str, str], log: Path, volume: Path) -> None:
        for command in spec.first_run:
            argv = room.arguments(command)
            child = spawn(argv, env, room.home, self.started, room.owner, log)
            what = f"{spec.name} on {self.name}: {Path(argv[0]).name}"
            try:
                code = child.process.wait(PATIENCE.first_run)
            except subprocess.TimeoutExpired:
                raise TookTooLong(f"{what}: not done within {PATIENCE.first_run:g} s: {last_lines(log)}") from None
            finally:
                child.end()
                if child.process.returncode:  # half a first run is none: the next start begins it anew
                    remove_tree(volume)
            if code:
                raise HarnessError(f"{what} ended with code {code}: {last_lines(log)}")

    def _await_ready(self, node: ProcessNode, room: Room, env: dict[str, str]) -> None:
        spec, ready = node.spec, node.spec.ready
        command = (*wrapper(), *room.arguments(ready.argv)) if ready.argv else ()

        def require_alive() -> None:
            if node.child is not None and node.child.poll() is not None:
                raise Died(
                    f"{spec.name} on {self.name} ended with code {node.child.returncode} before it was ready: "
                    f"{last_lines(node.log)}"
                )

        def answers() -> None:
            require_alive()
            if command:
                ask(command, env, room.home)
            elif ready.port:
                probe(node.endpoint(ready.port).outside, ready.path, ready.status)
            require_alive()  # else it was somebody else who answered

        try:
            wait_until(answers, patience=ready.patience, on=UNANSWERED, what=f"{spec.name} on {self.name}: ready")
        except Died:
            node.kill()
            raise
        except TookTooLong as error:
            node.kill()
            raise TookTooLong(f"{error}; its log ends: {last_lines(node.log)}") from None

    def run(self, task: Task) -> Running:
        """Start one-shot work. Raises HarnessError when it cannot be started."""
        room = self._room(self._number(plain("task", task.name)), task, {})
        argv, env = room.arguments(task.argv), room.environment(task.env)
        room.write_files()
        for volume in task.volumes:
            room.volume(volume)
        child = spawn(argv, env, room.home, self.started, room.owner, None)
        running = RunningTask(task.name, child, self._log(room.name), room.home)
        running.follow(task.stdin)
        with self._lock:
            self._tasks = [other for other in self._tasks if other.alive] + [child]
        return running

    def _number(self, task: str) -> str:
        """Return a name for a task that no other has, of another harness of the same run neither."""
        files = make_folder(self.folder / "files")
        while True:
            name = f"{task}-{next(self._numbers)}"
            try:
                if not self._log(name).exists():
                    (files / name).mkdir(mode=0o700)
                    return name
            except FileExistsError:
                continue

    def _log(self, name: str) -> Path:
        return make_folder(self.logs) / f"{name}.log"

    def volume(self, name: str) -> Volume:
        """The volume of that name, made when it is not there."""
        folder = volume_folder(self.folder, name)
        return FolderVolume(folder, self.started.note_file) if name == SPOOL else FolderVolume(folder)

    def destroy(self) -> None:
        """Lose it: every node and task killed, every volume removed. Logs are kept."""
        with self._lock:
            nodes, tasks = tuple(self._nodes.values()), tuple(self._tasks)
            self._nodes.clear()
            self._tasks.clear()
        lost = [*(node.running for node in nodes if node.running), *tasks]
        end_all({child.known for child in lost}, Owner(self.run_folder, f"{self.name}/"))
        for child in lost:
            child.process.wait()
        for node in nodes:
            node.leave()
        remove_tree(self.folder)

    def _room(self, name: str, spec: NodeSpec | Task, ports: dict[str, Address]) -> Room:
        owner = Owner(self.run_folder, f"{self.name}/{name}")
        return Room(self.folder, name, owner, spec.files, spec.secrets, ports)


@dataclass(slots=True)
class Embedded:
    """The machine that runs the drill. `run`: folder of this run, `logs`: where logs are kept."""

    run: Path
    logs: Path
    name: str = "embedded"
    here: str = LOOPBACK
    _sites: dict[str, EmbeddedSite] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.run, self.logs = self.run.resolve(), self.logs.resolve()
        self._make()

    def _make(self) -> None:
        try:
            make_folder(self.run)
        except OSError as error:
            raise UsageError(f"{self.run}: cannot be made ({error.strerror}); set BLACKSTART_RUNS") from None

    def site(self, name: str) -> EmbeddedSite:
        """The site of that name, made empty when it is not there."""
        with self._lock:
            if name not in self._sites:
                self._make()
                logs = self.logs / plain("site", name)
                self._sites[name] = EmbeddedSite(name, self.run, logs, Started(self.run))
            return self._sites[name]

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy prepared data into a volume of a site that is not running; raises HarnessError."""
        target = volume_folder(self.run / "sites" / plain("site", site), volume)
        cp = shutil.which("cp") or "cp"
        done = subprocess.run(
            [cp, "-a", "--reflink=auto", f"{source}/.", str(target)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"cp ended with code {done.returncode}"]
            raise HarnessError(f"volume {volume} of {site}: {source} cannot be copied: {said[-1]}")

    def sweep(self) -> None:
        """Leave nothing of this run behind but its logs. Raises HarnessError for what cannot be ended or removed."""
        with self._lock:
            sites = tuple(self._sites.values())
            self._sites.clear()
        for site in sites:
            site.destroy()
        sweep(self.run)
