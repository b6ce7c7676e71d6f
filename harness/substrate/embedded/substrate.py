"""Sites whose nodes are processes of this machine and whose volumes are folders."""

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.egress import Egress, Refused
from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.core.node import Address, Endpoint, NodeSpec, Running, Task, Volume
from harness.patience import PATIENCE
from harness.substrate.common.filesystem import keep_apart, make_folder, plain, remove_tree, write_files
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.common.logs import last_lines, log_file
from harness.substrate.common.lost import Lost
from harness.substrate.common.ports import LOOPBACK, take_port
from harness.substrate.common.probe import UNANSWERED, ask, probe
from harness.substrate.common.site import BaseSite
from harness.substrate.common.workspace import Workspace
from harness.substrate.embedded.isolation.namespaces import Namespaces, joined, make_namespaces, obstacle
from harness.substrate.embedded.isolation.wall import WALL, Wall
from harness.substrate.embedded.node import Gate, ProcessNode
from harness.substrate.embedded.process_tree import Owner, end_all
from harness.substrate.embedded.relay import Relay
from harness.substrate.embedded.shared_memory import attached, mapped
from harness.substrate.embedded.spawn import Child, spawn, wrapper
from harness.substrate.embedded.sweep import sweep
from harness.substrate.embedded.task import ProcessTask
from harness.substrate.embedded.undo_journal import UndoJournal
from harness.substrate.embedded.workspace import volume_folder, workspace_of

SPOOL = "spool"  # the volume whose files are plaintext of a backup: each is journalled


@dataclass(slots=True)
class EmbeddedSite(BaseSite[ProcessNode]):
    """A site: a folder with volumes and files, and the processes that use them.

    It cannot be isolated: clients and peers reach a node at the same address of loopback. `namespaced`: whether its
    processes are in namespaces of their own, lost with the site; `wall`: None where they use the machine's network.
    """

    run_folder: Path
    logs: Path
    journal: UndoJournal
    lost: Lost
    namespaced: bool = False
    wall: Wall | None = None
    _namespaces: Namespaces | None = None
    _tasks: list[Child] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def folder(self) -> Path:
        """The folder of its volumes and files."""
        return self.run_folder / "sites" / self.name

    def _owner(self, name: str) -> Owner:
        return Owner(self.run_folder, f"{self.name}/{name}")

    def prefix(self, folder: Path) -> tuple[str, ...]:
        """Return what goes before a command that is to run on this site, in this folder of it. Raises HarnessError."""
        if not self.namespaced:
            return wrapper()
        with self._lock:
            if self._namespaces is None:
                self._namespaces = self._enter()
            return self._namespaces.prefix(folder)

    def egress(self) -> Egress | None:
        """Return what keeps its programs from other addresses, and what it refused so far; None without a wall."""
        return Egress(WALL, (Refused(self.name, self.wall.refused()),)) if self.wall else None

    def _enter(self) -> Namespaces:
        home, made = make_folder(self.folder), joined(self.run_folder, self.name)
        made = made or make_namespaces(self.run_folder, self.logs.parent, home, walled=bool(self.wall))
        if self.wall:
            self.wall.build(made, home)
        return made

    def _make(self, spec: NodeSpec) -> ProcessNode:
        ports = {name: take_port() for name in spec.ports}
        addresses = {name: Address(LOOPBACK, port.number) for name, port in ports.items()}
        endpoints = {name: Endpoint(address, address) for name, address in addresses.items()}
        where, log = f"{spec.name} on {self.name}", log_file(self.logs, spec.name)
        return ProcessNode(spec, where, ports, endpoints, log, self._begin, gone=self.journal.file_gone)

    def _start(self, node: ProcessNode) -> None:
        spec = node.spec
        node.kill()  # processes that outlived the main one
        listens = {name: endpoint.inside for name, endpoint in node.endpoints.items()}
        workspace = workspace_of(self.folder, spec.name, spec, listens)
        argv, env = workspace.arguments(spec.argv), workspace.environment()
        write_files(Path(workspace.home), workspace.contents())
        volumes = [volume_folder(self.folder, name) for name in spec.volumes]
        prefix = self.prefix(Path(workspace.home))
        if self.wall and not node.gates:
            self.wall.guard(node)
        for name, port in node.ports.items():
            port.hand_over(f"{node.where}: port {name}")
        if (spec.first_run or spec.first_files) and not any(volumes[0].iterdir()):
            self._first_run(node, workspace, env, volumes[0])
            for target, text in spec.first_files.items():
                with self.volume(spec.volumes[0]).open(target, "wb") as file:
                    file.write(workspace.text(text).encode())
        node.leaves = () if self.namespaced else tuple(map(Path, workspace.arguments(spec.leaves)))
        for path in node.leaves:
            self.journal.note_file(path)
        node.running = spawn(argv, env, Path(workspace.home), self.journal, self._owner(spec.name), node.log, prefix)
        if self.wall:
            node.open_gates()
        command = (*prefix, *workspace.arguments(spec.ready.argv)) if spec.ready.argv else ()

        def answers() -> None:
            if command:
                ask(command, env | self._owner(spec.name).tags, Path(workspace.home))
            elif port := spec.ready.port:
                probe(node.endpoint(port).inside, spec.ready.path, spec.ready.status, proxied=bool(self.wall))

        node.await_ready(answers, UNANSWERED)
        running = node.running
        running.note_memory(attached((running.id.pid,)), mapped((running.id.pid,)))

    def _first_run(self, node: ProcessNode, workspace: Workspace, env: dict[str, str], volume: Path) -> None:
        log, home, owner = node.log, Path(workspace.home), self._owner(node.spec.name)
        for command in node.spec.first_run:
            argv = workspace.arguments(command)
            child = spawn(argv, env, home, self.journal, owner, log, self.prefix(home))
            what = f"{node.where}: {Path(argv[0]).name}"
            try:
                code = child.process.wait(PATIENCE.first_run)
            except subprocess.TimeoutExpired:
                raise TookTooLong(f"{what}: not done within {PATIENCE.first_run:g} s: {last_lines(log)}") from None
            finally:
                child.end()
                if child.process.returncode:  # the next start repeats the first run from an empty volume
                    remove_tree(volume)
            if code:
                raise HarnessError(f"{what} ended with code {code}: {last_lines(log)}")

    def run(self, task: Task) -> Running:
        """Start one-shot work and return it. Raises HarnessError when it cannot be started."""
        name = self._number(plain("task", task.name))
        workspace, log = workspace_of(self.folder, name, task, {}), log_file(self.logs, name)
        argv, env = workspace.arguments(task.argv), workspace.environment()
        write_files(Path(workspace.home), workspace.contents())
        for volume in task.volumes:
            volume_folder(self.folder, volume)
        home = Path(workspace.home)
        child = spawn(argv, env, home, self.journal, self._owner(name), None, self.prefix(home))
        running = ProcessTask(task.name, log, lambda: child.end_with(home), child)
        running.follow(task.stdin)
        with self._lock:
            self._tasks = [other for other in self._tasks if other.alive] + [child]
        return running

    def _number(self, task: str) -> str:
        """Return a name for a task that no other task has, not even one of another harness in the same run."""
        files = make_folder(self.folder / "files")
        while True:
            name = f"{task}-{next(self._numbers)}"
            try:
                if not log_file(self.logs, name).exists():
                    (files / name).mkdir(mode=0o700)
                    return name
            except FileExistsError:
                continue

    def volume(self, name: str) -> Volume:
        """Return the volume of that name, created when it does not exist."""
        folder = volume_folder(self.folder, name)
        if name != SPOOL:
            return FolderVolume(folder)
        return FolderVolume(folder, self.journal.note_file, self.journal.file_gone)

    def destroy(self) -> None:
        """Kill every node and task with SIGKILL and take every volume away. Logs are kept. Raises HarnessError."""
        nodes = self._forget_nodes()
        with self._lock:
            tasks, self._tasks = self._tasks, []
        lost = [*(node.running for node in nodes if node.running), *tasks]
        end_all({child.id for child in lost}, self._owner(""))
        for child in lost:
            child.collect()
        for node in nodes:
            node.release()
        with self._lock:
            if self.wall:
                self.wall.close()
            if self._namespaces is not None:
                self._namespaces.close()
                self._namespaces = None
        self.lost.take(self.folder)


@dataclass  # without slots, which would break super()
class GatedSite(EmbeddedSite):
    """An embedded site that can be isolated: clients reach its nodes by relays on ports of their own."""

    _isolated: bool = False

    def _make(self, spec: NodeSpec) -> ProcessNode:
        node = super()._make(spec)
        ports = {name: take_port() for name in spec.ports}
        inside = {name: endpoint.inside for name, endpoint in node.endpoints.items()}
        node.gates = tuple(Gate(port, Relay(LOOPBACK, inside[name], port.number)) for name, port in ports.items())
        node.endpoints = {name: Endpoint(inside[name], Address(LOOPBACK, port.number)) for name, port in ports.items()}
        return node

    def _start(self, node: ProcessNode) -> None:
        super()._start(node)
        if not self._isolated:
            node.open_gates()

    def isolate(self) -> None:
        """Close all connections of clients to its nodes, and refuse new ones; peers and tasks are not affected."""
        self._isolated = True
        for node in tuple(self._nodes.values()):
            for gate in node.gates:
                gate.close()

    def rejoin(self) -> None:
        """Let clients connect to its running nodes again. Raises PortInUse."""
        if self._isolated:
            self._isolated = False
            for node in tuple(self._nodes.values()):
                if node.alive:
                    node.open_gates()


@dataclass(slots=True)
class Embedded:
    """The embedded substrate: this machine. `run`: folder of this run, `logs`: folder of its logs.

    `gated`: names of the sites that can be isolated; a relay on the way to them costs a client some 0.1 ms a request.
    `namespaced`: whether the programs of a site run in namespaces of their own, where this machine allows them;
    `walled`: names of the sites whose programs have a network of their own, likewise.
    """

    run: Path
    logs: Path
    gated: tuple[str, ...] = ()
    namespaced: bool = True
    walled: tuple[str, ...] = ()
    name: str = "embedded"
    here: str = LOOPBACK
    _sites: dict[str, EmbeddedSite] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.run, self.logs = self.run.resolve(), self.logs.resolve()
        self._make()

    def _make(self) -> None:
        try:
            keep_apart(make_folder(self.run).parent)
        except OSError as error:
            raise UsageError(f"{self.run}: cannot be made ({error.strerror}); set BLACKSTART_RUNS") from None

    def site(self, name: str) -> EmbeddedSite:
        """Return the site of that name, created empty when it does not exist."""
        with self._lock:
            if name not in self._sites:
                self._make()
                logs = self.logs / plain("site", name)
                site_type = GatedSite if name in self.gated else EmbeddedSite
                namespaced = self.namespaced and not obstacle(self.run)
                made = self._sites[name] = site_type(
                    name, self.run, logs, UndoJournal(self.run), Lost(self.run), namespaced
                )
                walled = namespaced and name in self.walled and name not in self.gated
                made.wall = Wall() if walled and not obstacle(self.run, walled=True) else None
            return self._sites[name]

    def desk(self, name: str) -> EmbeddedSite:
        """Return a site for the tasks of an existing site: in no namespaces, for they use its mounted volumes."""
        site = self.site(name)
        site.namespaced, site.wall = False, None
        return site

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy a folder of prepared data into a volume of a site that is not running. Raises HarnessError."""
        folder = volume_folder(self.run / "sites" / plain("site", site), volume)
        try:
            FolderVolume(folder).unpack(source)
        except HarnessError as error:
            raise HarnessError(f"site {site}: {error}") from None

    def sweep(self) -> None:
        """Remove everything that this run made, except its logs. Raises HarnessError for what cannot be removed."""
        with self._lock:
            sites = tuple(self._sites.values())
            self._sites.clear()
        for site in sites:
            site.destroy()
        for site in sites:
            site.lost.wait()
        sweep(self.run)
