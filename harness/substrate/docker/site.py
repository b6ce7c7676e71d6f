"""A site of containers: an internal network for peers, a second one for the outside, volumes of the engine."""

import itertools
import os
import secrets as random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from testcontainers.core.docker_client import DockerClient

from harness.core.clock import SYSTEM, NotYet
from harness.core.egress import Egress, Refused
from harness.core.errors import HarnessError
from harness.core.node import Address, Endpoint, NodeSpec, Running, Task
from harness.images import inside
from harness.images.engine import engine, explained
from harness.images.find import reference
from harness.images.table import port_numbers, scratch_of
from harness.patience import PATIENCE
from harness.substrate.common.error_collector import ErrorCollector
from harness.substrate.common.filesystem import make_folder, plain, remove_tree, write_files
from harness.substrate.common.logs import log_file
from harness.substrate.common.ports import LOOPBACK, Port, on_free_ports, take_port
from harness.substrate.common.probe import UNANSWERED, probe
from harness.substrate.common.site import BaseSite
from harness.substrate.common.workspace import Workspace
from harness.substrate.containers.volume_client import AgentVolume
from harness.substrate.containers.workspace import FILES, TMP, VOLUMES, working_folder, workspace_of, write_first_files
from harness.substrate.docker.egress import WALL, nobody_of
from harness.substrate.docker.node import ContainerNode
from harness.substrate.docker.ownership import OUTSIDE, Owned, discarding, naming, remove, sweep_engine
from harness.substrate.docker.task import WORK, ContainerTask, Within, code_of, limited
from harness.substrate.docker.volume import open_volume

MODE = "rw,nocopy"  # the agent of a volume has set its owner; what the image has at that path is not copied
LIMITS: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": "2g",
    "pids_limit": 512,
}


@dataclass(slots=True)
class DockerSite(BaseSite[ContainerNode]):
    """A site: containers and volumes of the engine, labelled by `owned`.

    `bounded`: `site/volume` -> MiB; `also`: names of further networks that its nodes join.
    """

    owned: Owned
    logs: Path
    files: Path
    user: str
    token: str = field(repr=False)
    bounded: Mapping[str, int] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    runs_images: bool = True
    _isolated: bool = False
    _volumes: dict[str, AgentVolume] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _opening: RLock = field(default_factory=RLock, repr=False)

    def _make(self, spec: NodeSpec) -> ContainerNode:
        ports, numbers = {name: take_port() for name in spec.ports}, port_numbers(spec.image, spec.ports)
        endpoints = {name: self._endpoint(spec, numbers[name], port) for name, port in ports.items()}
        where, log = f"{spec.name} on {self.name}", log_file(self.logs, spec.name)
        return ContainerNode(spec, where, ports, endpoints, log, self._begin)

    def _endpoint(self, spec: NodeSpec, number: int, port: Port) -> Endpoint:
        across = Address(f"{spec.name}.{self.name}", number) if spec.public else None
        return Endpoint(Address(spec.name, number), Address(LOOPBACK, port.number), across)

    def _start(self, node: ContainerNode) -> None:
        spec, workspace = node.spec, workspace_of(node.spec)
        for name, port in node.ports.items():
            port.hand_over(f"{node.where}: port {name}")
        container, since = node.container, SYSTEM.wall().timestamp() if node.container else None
        with naming(node.where, (spec.argv or ("its program",))[0]):
            if container is not None:
                container.start()
            else:
                write_first_files(spec, self.volume)
                container = self._create_node(node, workspace)
                with discarding(container):
                    container.start()
        node.container = container
        node.follow_log(since)
        command = limited(workspace.arguments(spec.ready.argv), PATIENCE.probe_command) if spec.ready.argv else []

        def answers() -> None:
            if command:
                code, words = inside.execute(container, command, user=self.user)
                if code != 0:  # None: the engine does not know it yet
                    raise NotYet(f"the ready command ended with code {code}: {words.decode(errors='replace')[-200:]}")
            elif (port := spec.ready.port) and not self._isolated:  # an isolated node answers its peers alone
                probe(node.endpoint(port).outside, spec.ready.path, spec.ready.status, proxied=True)

        node.await_ready(answers, (*UNANSWERED, APIError))

    def _create_node(self, node: ContainerNode, workspace: Workspace) -> Container:
        spec = node.spec
        published = {
            f"{workspace.ports[name].port}/tcp": [(at, port.number) for at in (LOOPBACK, *spec.published.get(name, ()))]
            for name, port in node.ports.items()
        }
        node.networks = self._networks(spec)
        return self._create(
            workspace, node.networks, command=workspace.arguments(spec.argv) or None, ports=published,
            name=self.owned.name(self.name, spec.name), stop_signal=f"SIG{spec.stop_signal}",
        )  # fmt: skip

    def _networks(self, spec: NodeSpec | None = None) -> dict[str, tuple[Network, str]]:
        """Return the networks of a node, or of a task, and its alias on each."""
        alias = spec.name if spec else ""
        found = {self.name: (self.owned.network(self.name), alias), OUTSIDE: (self.owned.outside, "")}
        if spec and spec.public:
            found["edge"] = self.owned.network("edge"), f"{spec.name}.{self.name}"
        return found | ({name: (engine().networks.get(name), alias) for name in self.also} if spec else {})

    def _create(self, workspace: Workspace, networks: Mapping[str, tuple[Network, str]], **more: Any) -> Container:
        """Return a new container, not started, that has joined its networks; its files and volumes exist."""
        spec, (own, alias) = workspace.spec, networks[self.name]
        mounts = {}
        for volume in spec.volumes:
            self.volume(volume)
            mounts[self.owned.name(self.name, volume)] = {"bind": f"{VOLUMES}/{volume}", "mode": MODE}
        if contents := workspace.contents():
            mounts[str(self._write(workspace.name, contents))] = {"bind": FILES, "mode": "ro"}
        container = DockerClient(timeout=PATIENCE.engine_answer).create(
            reference(spec.image), environment=workspace.environment(), volumes=mounts, user=self.user,
            tmpfs=dict.fromkeys((TMP, *scratch_of(spec.image)), "mode=1777"), labels=self.owned.labels(self.name),
            working_dir=working_folder(spec), network=own.name, dns=[nobody_of(self.owned.outside)],
            networking_config={own.name: engine().api.create_endpoint_config(aliases=[alias] if alias else None)},
            **LIMITS, **more,
        )  # fmt: skip
        with discarding(container):
            for name, (network, alias) in networks.items():
                if name != self.name and not self._isolated:
                    network.connect(container, aliases=[alias] if alias else None)
        return container

    def _write(self, name: str, contents: Mapping[str, str]) -> Path:
        """Write the files of a node or task, readable by the user of containers alone, and return their folder."""
        home, (uid, gid) = make_folder(self.files / name), map(int, self.user.split(":"))
        write_files(home, contents)
        if os.getuid() == 0:
            for path in (home, *home.rglob("*")):
                os.chown(path, uid, gid)
        return home

    def run(self, task: Task) -> Running:
        """Start one-shot work in a container of its own, or in that of a node. Raises HarnessError."""
        name = f"{plain('task', task.name)}-{next(self._numbers)}"
        workspace, log = workspace_of(task, name), log_file(self.logs, name)
        argv = workspace.arguments(task.argv)
        begin = self._within if task.within else self._alone
        running = begin(task, workspace, argv, log)
        running.follow(task.stdin)
        return running

    def _alone(self, task: Task, workspace: Workspace, argv: list[str], log: Path) -> ContainerTask:
        what, files = f"{task.name} on {self.name}", self.files / workspace.name
        with naming(what, argv[0]):
            container = self._create(
                workspace, self._networks(), command=argv[1:], entrypoint=argv[:1], stdin_open=True,
                name=self.owned.name(self.name, workspace.name),
            )  # fmt: skip
            with discarding(container):
                stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
                container.start()

        def end() -> None:
            try:
                with explained(f"container {container.name}"):
                    remove(container)
            finally:
                remove_tree(files)  # they may hold secrets

        return ContainerTask(task.name, log, end, stream, lambda _: code_of(container, what))

    def _within(self, task: Task, workspace: Workspace, argv: list[str], log: Path) -> ContainerTask:
        what, tag = f"{task.name} on {self.name}", random.token_hex(8)
        node = self._nodes.get(task.within)
        if node is None or node.container is None or not node.alive:
            raise HarnessError(f"{what}: {task.within} is not running; start it first")
        with naming(what, argv[0]):
            env = {**workspace.environment(), WORK: tag}
            made, stream = inside.begin(node.container, argv, user=self.user, env=env)
        work = Within(what, node.container, made, tag, self.user)
        return ContainerTask(task.name, log, work.end, stream, work.code)

    def volume(self, name: str) -> AgentVolume:
        """Return the volume of that name, created with its agent when it does not exist. Raises HarnessError."""
        with self._opening:
            if plain("volume", name) not in self._volumes:
                limit = self.bounded.get(f"{self.name}/{name}", 0)
                self._volumes[name] = on_free_ports(
                    lambda: open_volume(self.owned, self.name, name, self.user, self.token, limit)
                )
            return self._volumes[name]

    def egress(self) -> Egress:
        """Return what keeps its containers from other addresses, and what each node was refused since its start."""
        return Egress(WALL, tuple(Refused(name, node.refused()) for name, node in sorted(self._nodes.items())))

    def isolate(self) -> None:
        """Disconnect its nodes, and those that start later, from all networks but its own. Raises HarnessError."""
        self._isolated = True
        for node in tuple(self._nodes.values()):
            node.isolate(but=self.name)

    def rejoin(self) -> None:
        """Connect all its nodes to their networks again. Raises HarnessError."""
        self._isolated = False
        for node in tuple(self._nodes.values()):
            node.rejoin()

    def destroy(self) -> None:
        """Kill every node and task with SIGKILL and remove every volume and the network. Logs are kept.

        Raises HarnessError for what cannot be removed, after all the rest was; another call tries it again.
        """
        nodes = self._forget_nodes()
        self._volumes.clear()
        self._isolated = False
        cleanup = ErrorCollector()
        with cleanup.step():
            sweep_engine(self.owned.run, self.name)
        for node in nodes:
            node.release()
        with cleanup.step():
            remove_tree(self.files)
        cleanup.raise_errors()
