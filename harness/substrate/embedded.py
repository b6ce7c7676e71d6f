"""The embedded substrate: sites are folders, nodes are processes of this machine."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, UsageError
from harness.core.node import Address, Endpoint, Node, NodeSpec, Running, Task, Volume
from harness.core.render import render
from harness.substrate.ports import LOOPBACK, free_port
from harness.substrate.process import NodeLauncher, ProcessNode, RunningTask, end, last_lines, spawn, wrapper
from harness.substrate.started import TAG, Started, sweep
from harness.substrate.volume import FolderVolume
from harness.vault import read_text_secret

Look = Mapping[str, Callable[[str], str]]
SPOOL = "spool"  # the volume whose files are plaintext of a backup: journalled one by one


class NotReady(Exception):  # noqa: N818 - it is a state, and never leaves this module
    """The node does not answer yet."""


@dataclass(slots=True)
class EmbeddedSite(NodeLauncher):
    """One site: a folder with volumes and files, and the processes that use them."""

    name: str
    run_folder: Path
    logs: Path
    started: Started
    _nodes: dict[str, ProcessNode] = field(default_factory=dict)
    _tasks: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _count: int = 0
    _lock: Lock = field(default_factory=Lock)

    @property
    def folder(self) -> Path:
        """Where the site's volumes and files lie."""
        return self.run_folder / "sites" / self.name

    def launch(self, spec: NodeSpec) -> Node:
        """Start one node and return once it is ready. Raises HarnessError with its last log lines."""
        endpoints = {}
        for port in spec.ports:
            address = Address(LOOPBACK, free_port())
            endpoints[port] = Endpoint(address, address)
        self.logs.mkdir(parents=True, exist_ok=True)
        node = ProcessNode(spec, endpoints, self.logs / f"{spec.name}.log", self)
        with self._lock:
            if spec.name in self._nodes and self._nodes[spec.name].alive:
                raise HarnessError(f"{spec.name} on {self.name}: already running")
            self._nodes[spec.name] = node
        node.start()
        return node

    def start(self, node: ProcessNode) -> None:
        """Start the process of a node and wait until it is ready."""
        spec = node.spec
        look = self._look_up(spec.name, spec.files, spec.secrets, {p: e.inside for p, e in node.endpoints.items()})
        for volume in spec.volumes:
            self._volume_folder(volume)
        self._write_files(spec.name, spec.files, look)
        env = self._environment(spec.name, spec.env, look)
        plain = {kind: find for kind, find in look.items() if kind != "secret"}
        for port, endpoint in node.endpoints.items():
            require_free(endpoint.inside, f"{spec.name} on {self.name}: port {port}")
        if spec.first_run and not any(self._volume_folder(spec.volumes[0]).iterdir()):
            for command in spec.first_run:
                self._first_run(spec.name, tuple(render(a, plain) for a in command), env, node.log)
        argv = tuple(render(a, plain) for a in spec.argv)
        node.leaves = tuple(Path(render(path, plain)) for path in spec.leaves)
        for path in node.leaves:
            self.started.note_file(path)
        node.child = spawn(argv, env, self._home(spec.name), self.started, (self.name, spec.name), node.log)
        self._await_ready(node, plain, env)

    def _first_run(self, name: str, argv: tuple[str, ...], env: dict[str, str], log: Path) -> None:
        child = spawn(argv, env, self._home(name), self.started, (self.name, name), log)
        if child.wait():
            program = Path(argv[0]).name
            raise HarnessError(
                f"{name} on {self.name}: {program} ended with code {child.returncode}: {last_lines(log)}"
            )

    def _await_ready(self, node: ProcessNode, plain: Look, env: dict[str, str]) -> None:
        spec, ready = node.spec, node.spec.ready
        command = [*wrapper(), *(render(a, plain) for a in ready.argv)]

        def answers() -> None:
            if node.child is not None and node.child.poll() is not None:
                raise HarnessError(
                    f"{spec.name} on {self.name} ended with code {node.child.returncode} before it was ready: "
                    f"{last_lines(node.log)}"
                )
            if ready.argv:
                done = subprocess.run(command, env=env, capture_output=True, check=False)
                if done.returncode:
                    raise NotReady(f"{ready.argv[0]} says {done.returncode}")
            elif ready.port:
                probe(node.endpoint(ready.port).outside, ready.path, ready.status)

        try:
            wait_until(
                answers, patience=ready.patience, on=(NotReady, OSError, http.client.HTTPException),
                what=f"{spec.name} on {self.name}: ready",
            )  # fmt: skip
        except HarnessError as error:
            node.kill()
            seen = "" if "before it was ready" in str(error) else f"; its log ends: {last_lines(node.log)}"
            raise type(error)(f"{error}{seen}") from None

    def run(self, task: Task) -> Running:
        """Start one-shot work."""
        with self._lock:
            self._count += 1
            name = f"{task.name}-{self._count}"
        look = self._look_up(name, task.files, task.secrets, {})
        self._write_files(name, task.files, look)
        env = self._environment(name, task.env, look)
        argv = tuple(render(a, {k: f for k, f in look.items() if k != "secret"}) for a in task.argv)
        self.logs.mkdir(parents=True, exist_ok=True)
        child = spawn(argv, env, self._home(name), self.started, (self.name, task.name), None)
        running = RunningTask(task.name, child, self.logs / f"{name}.log", self._home(name))
        running.follow(task.stdin)
        with self._lock:
            self._tasks = [t for t in self._tasks if t.poll() is None]
            self._tasks.append(child)
        return running

    def volume(self, name: str) -> Volume:
        """The volume of that name, made when it is not there."""
        folder = self._volume_folder(name)
        return FolderVolume(folder, self.started.note_file) if name == SPOOL else FolderVolume(folder)

    def destroy(self) -> None:
        """Lose it: every node and task killed, every volume removed. Logs are kept."""
        for node in self._nodes.values():
            node.kill()
        for task in self._tasks:
            end(task)
        self._nodes.clear()
        self._tasks.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _volume_folder(self, name: str) -> Path:
        folder = self.folder / "volumes" / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _home(self, name: str) -> Path:
        home = self.folder / "files" / name
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return home

    def _look_up(
        self, name: str, files: Mapping[str, str], secrets: Mapping[str, str], ports: Mapping[str, Address]
    ) -> Look:
        return {
            "port": lambda port: str(ports[port].port),
            "bind": lambda port: ports[port].host,
            "volume": lambda volume: str(self._volume_folder(volume)),
            "file": lambda file: str(self._home(name) / file) if file in files else _missing(file),
            "secret": lambda secret: read_text_secret(secrets[secret]),
        }

    def _write_files(self, name: str, files: Mapping[str, str], look: Look) -> None:
        for file, text in files.items():
            path = self._home(name) / file
            path.touch(mode=0o600)
            path.write_text(render(text, look), encoding="utf-8")

    def _environment(self, name: str, env: Mapping[str, str], look: Look) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        base = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._home(name)),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "TMPDIR": str(temporary),
            TAG: str(self.run_folder),
        }
        return base | {key: render(value, look) for key, value in env.items()}


def _missing(file: str) -> str:
    raise KeyError(file)


def require_free(address: Address, what: str) -> None:
    """Raise HarnessError when somebody else listens there."""
    with socket.socket() as probe_socket:
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind((address.host, address.port))
        except OSError as error:
            raise HarnessError(f"{what} {address} is taken ({error.strerror}); end what listens there") from None


def probe(address: Address, path: str, status: int) -> None:
    """Connect, and with a path ask for it by HTTP; raises OSError or NotReady."""
    if not path:
        with socket.create_connection((address.host, address.port), timeout=2):
            return
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    try:
        connection.request("GET", path)
        found = connection.getresponse().status
    finally:
        connection.close()
    if found != status:
        raise NotReady(f"{path} answers {found}")


@dataclass(slots=True)
class Embedded:
    """The machine that runs the drill. `run`: folder of this run, `logs`: where logs are kept."""

    run: Path
    logs: Path
    name: str = "embedded"
    _sites: dict[str, EmbeddedSite] = field(default_factory=dict)
    _started: Started | None = None

    def __post_init__(self) -> None:
        self.run, self.logs = self.run.resolve(), self.logs.resolve()
        try:
            self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.run}: cannot be made ({error.strerror}); set BLACKSTART_RUNS") from None
        self._started = Started(self.run)

    def site(self, name: str) -> EmbeddedSite:
        """The site of that name, made empty when it is not there."""
        if name not in self._sites:
            self._sites[name] = EmbeddedSite(name, self.run, self.logs / name, self._started or Started(self.run))
        return self._sites[name]

    def import_volume(self, site: str, volume: str, source: Path) -> None:
        """Copy prepared data into a volume of a site that is not running; raises HarnessError."""
        target = self.run / "sites" / site / "volumes" / volume
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        done = subprocess.run(
            [shutil.which("cp") or "cp", "-a", "--reflink=auto", f"{source}/.", str(target)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HarnessError(f"volume {volume} of {site}: cannot be copied: {done.stderr.strip().splitlines()[-1]}")

    def sweep(self) -> None:
        """Leave nothing of this run behind but its logs."""
        for site in self._sites.values():
            site.destroy()
        sweep(self.run)
