"""One site of containers."""

from __future__ import annotations

import itertools
import secrets as random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import Any

from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Address, Endpoint, Node, NodeSpec, Running, Task
from harness.images import inside
from harness.images.engine import engine, explained
from harness.images.find import reference
from harness.images.table import port_numbers, scratch_of
from harness.patience import PATIENCE
from harness.substrate.common.cleanup import Steps
from harness.substrate.common.filesystem import make_folder, remove_tree, write_for
from harness.substrate.common.logs import last_lines
from harness.substrate.common.names import plain
from harness.substrate.common.ports import LOOPBACK, Port, on_free_ports, take_port
from harness.substrate.common.probe import UNANSWERED, probe
from harness.substrate.containers.volume_client import AgentVolume
from harness.substrate.containers.workspace import FILES, TMP, VOLUMES, Shell, write_first_files
from harness.substrate.docker.node import ContainerNode
from harness.substrate.docker.ownership import Owned, discard, naming, remove, sweep_engine
from harness.substrate.docker.task import WORK, ContainerTask, Within, code_of, limited
from harness.substrate.docker.volume import open_volume

# Ryuk, testcontainers' own reaper, is an image that offline machines cannot have; what is swept is swept by label.
testcontainers_config.ryuk_disabled = True

MODE = "rw,nocopy"  # whose a new volume is was settled by its agent; what the image has there is not asked
MEMORY = "2g"  # what one node may take at most
PROCESSES = 512


class Died(HarnessError):
    """A node ended before it was ready."""


@dataclass(slots=True)
class DockerSite:
    """A network, and the containers and volumes on it."""

    name: str
    owned: Owned
    logs: Path
    files: Path
    user: str
    token: str = field(repr=False)
    bounded: Mapping[str, int] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    runs_images: bool = True
    _nodes: dict[str, ContainerNode] = field(default_factory=dict)
    _volumes: dict[str, AgentVolume] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: Lock = field(default_factory=Lock, repr=False)
    _opening: RLock = field(default_factory=RLock, repr=False)

    def launch(self, spec: NodeSpec) -> Node:
        """Start one node and return once it is ready. Raises HarnessError with its last log lines."""
        return on_free_ports(lambda: self._launch(spec))

    def _launch(self, spec: NodeSpec) -> Node:
        with self._lock:
            former = self._nodes.get(plain("node", spec.name))
            if former is not None and former.alive:
                raise HarnessError(f"{spec.name} on {self.name}: already running; kill it before it is launched again")
            ports = {name: take_port() for name in spec.ports}
            numbers = port_numbers(spec.image, spec.ports)
            endpoints = {name: self._endpoint(spec, numbers[name], port) for name, port in ports.items()}
            where = f"{spec.name} on {self.name}"
            node = ContainerNode(spec, where, ports, endpoints, self._log(spec.name), self._begin)
            self._nodes[spec.name] = node
        if former is not None:
            if former.container is not None:
                remove(former.container)
            former.leave()
        node.start()
        return node

    def _endpoint(self, spec: NodeSpec, number: int, port: Port) -> Endpoint:
        across = Address(f"{spec.name}.{self.name}", number) if spec.public else None
        return Endpoint(Address(spec.name, number), Address(LOOPBACK, port.number), across)

    def _begin(self, node: ContainerNode) -> None:
        spec = node.spec
        if self._nodes.get(spec.name) is not node:
            raise HarnessError(f"{node.where}: lost with its site, or replaced; launch it again")
        for name, port in node.ports.items():
            port.hand_over(f"{node.where}: port {name}")
        if node.container is None:
            self._create(node)
        else:
            node.follow(again=True)
            with naming(node.where, (node.spec.argv or ("its program",))[0]):
                node.container.start()
        self._await_ready(node)

    def _create(self, node: ContainerNode) -> None:
        spec, shell = node.spec, Shell.of(node.spec)
        made = self._container(shell, self.owned.name(self.name, spec.name), shell.arguments(spec.argv))
        write_first_files(spec, self.volume)
        numbers = port_numbers(spec.image, spec.ports)
        published: dict[str, Any] = {
            f"{numbers[name]}/tcp": [(host, port.number) for host in (LOOPBACK, *spec.published.get(name, ()))]
            for name, port in node.ports.items()
        }
        made.ports = published  # testcontainers has no word for the address of a port; the engine has
        made.with_kwargs(**self._limits(shell), stop_signal=f"SIG{spec.stop_signal}")
        network = self.owned.network(self.name)
        node.networks = {self.name: (network, (spec.name,))}
        made.with_network_aliases(spec.name)
        made._network = network  # noqa: SLF001 - made and labelled by us, and of the same shape
        try:
            with naming(node.where, (node.spec.argv or ("its program",))[0]):
                made.start()
            node.container = made.get_wrapped_container()
            node.follow()
            if spec.public:
                self._join(node, self.owned.network("edge"), f"{spec.name}.{self.name}")
            for name in self.also:
                self._join(node, engine().networks.get(name), spec.name)
        except BaseException:
            discard(made._container)  # noqa: SLF001 - it has no other word for one that was made and not started
            node.container = None
            raise

    def _join(self, node: ContainerNode, network: Network, alias: str) -> None:
        with explained(f"{node.where}: joining a network"):
            network.connect(node.container, aliases=[alias])
        node.networks = {**node.networks, alias: (network, (alias,))}

    def _container(self, shell: Shell, name: str, command: list[str]) -> DockerContainer:
        """Return the container of a node, described and not yet made; its files are written, its volumes there."""
        made = DockerContainer(reference(shell.image)).with_name(name)
        made.with_envs(**shell.environment())
        for folder in (TMP, *scratch_of(shell.image)):
            made.with_tmpfs_mount(folder, "mode=1777")
        if command:
            made.with_command(command)
        home = self._write(shell)
        if home is not None:
            made.with_volume_mapping(str(home), FILES, "ro")
        for volume in shell.volumes:
            self.volume(volume)
            made.with_volume_mapping(self.owned.name(self.name, volume), f"{VOLUMES}/{volume}", MODE)
        return made

    def _limits(self, shell: Shell) -> dict[str, object]:
        """Return what every container is held to."""
        more = {"working_dir": shell.folder} if shell.folder else {}
        return {
            "labels": self.owned.labels(self.name),
            "user": self.user,
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "mem_limit": MEMORY,
            "pids_limit": PROCESSES,
            **more,
        }

    def _write(self, shell: Shell) -> Path | None:
        """Write the files of a node or task, for its user alone, and return their folder; None without any."""
        contents = shell.contents()
        if not contents:
            return None
        uid, gid = (int(number) for number in self.user.split(":"))
        return write_for(self.files / shell.name, contents, uid, gid)

    def _await_ready(self, node: ContainerNode) -> None:
        ready, shell = node.spec.ready, Shell.of(node.spec)
        command = limited(shell.arguments(ready.argv), PATIENCE.probe_command) if ready.argv else []

        def answers() -> None:
            if not node.alive:
                raise Died(node.died())
            if command and node.container is not None:
                code, words = inside.execute(node.container, command, user=self.user)
                if code != 0:  # None: it is not known yet
                    raise NotYet(f"the ready command ended with code {code}: {words.decode(errors='replace')[-200:]}")
            elif ready.port:
                probe(node.endpoint(ready.port).outside, ready.path, ready.status, relayed=True)
            if not node.alive:
                raise Died(node.died())

        try:
            wait_until(answers, patience=ready.patience, on=(*UNANSWERED, APIError), what=f"{node.where}: ready")
        except Died:
            node.kill()
            raise
        except TookTooLong as error:
            node.kill()
            raise TookTooLong(f"{error}; its log ends: {last_lines(node.log)}") from None

    def run(self, task: Task) -> Running:
        """Start one-shot work in a container of its own, or within a node. Raises HarnessError."""
        plain("task", task.name)
        if task.within:
            return self._run_within(task)
        shell = Shell.of(task, f"{task.name}-{next(self._numbers)}")
        argv = shell.arguments(task.argv)
        made = self._container(shell, "", [])
        volumes = {host: {"bind": mount["bind"], "mode": mount["mode"]} for host, mount in made.volumes.items()}
        limits = self._limits(shell)
        with naming(f"{task.name} on {self.name}", argv[0]):
            container = engine().containers.create(
                made.image, argv[1:], entrypoint=argv[:1], name=self.owned.name(self.name, shell.name),
                environment=made.env, volumes=volumes, tmpfs=made.tmpfs, stdin_open=True,
                network=self.owned.network(self.name).name, **limits,
            )  # fmt: skip
            try:
                stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
                container.start()
            except BaseException:
                discard(container)
                raise
        running = ContainerTask(
            task.name, stream, self._log(shell.name), lambda _: code_of(container, f"{task.name} on {self.name}"),
            lambda: self._forget(container, self.files / shell.name), container,
        )  # fmt: skip
        running.follow(task.stdin)
        return running

    def _forget(self, container: Container, files: Path) -> None:
        try:
            with explained(f"container {container.name}"):
                remove(container)
        finally:
            remove_tree(files)  # they may hold secrets, and nobody needs them any more

    def _run_within(self, task: Task) -> Running:
        node = self._nodes.get(task.within)
        if node is None or node.container is None or not node.alive:
            raise HarnessError(f"{task.name} on {self.name}: {task.within} is not running")
        shell, what, tag = Shell.of(task), f"{task.name} on {self.name}", random.token_hex(8)
        env = {**shell.environment(), WORK: tag}
        with naming(what, task.argv[0]):
            made, stream = inside.begin(node.container, shell.arguments(task.argv), user=self.user, env=env)
        work = Within(what, node.container, made, tag, self.user)
        log = self._log(f"{task.name}-{next(self._numbers)}")
        running = ContainerTask(task.name, stream, log, work.code, work.end)
        running.follow(task.stdin)
        return running

    def _log(self, name: str) -> Path:
        return make_folder(self.logs) / f"{name}.log"

    def volume(self, name: str) -> AgentVolume:
        """The volume of that name, made when it is not there, and reached through its agent. Raises HarnessError."""
        with self._opening:
            if plain("volume", name) not in self._volumes:
                limit = self.bounded.get(f"{self.name}/{name}", 0)
                self._volumes[name] = on_free_ports(
                    lambda: open_volume(self.owned, self.name, name, self.user, self.token, limit)
                )
            return self._volumes[name]

    def isolate(self) -> None:
        """Cut every node off from all networks, the site's own too. Raises HarnessError."""
        for node in tuple(self._nodes.values()):
            node.isolate()

    def rejoin(self) -> None:
        """Let all that was cut off be reached again. Raises HarnessError."""
        for node in tuple(self._nodes.values()):
            node.rejoin()

    def destroy(self) -> None:
        """Lose it: every container killed, every volume and the network removed. Logs are kept.

        Raises HarnessError for what cannot be removed, once all the rest is; asked again, it tries it again.
        """
        with self._lock:
            nodes = tuple(self._nodes.values())
            self._nodes.clear()
            self._volumes.clear()
        steps = Steps()
        with steps.step():
            sweep_engine(self.owned.run, self.name)
        for node in nodes:
            node.leave()
        with steps.step():
            remove_tree(self.files)
        steps.end()
