"""One site that is a cluster of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock

from harness.core.clock import SYSTEM, wait_until
from harness.core.errors import HarnessError
from harness.core.node import Address, Endpoint, Node, NodeSpec, Running, Task
from harness.images.find import reference
from harness.images.table import port_numbers
from harness.kubernetes import disruption, wall
from harness.kubernetes.api import Api
from harness.kubernetes.objects import NAME, Pod, name_of
from harness.kubernetes.waiting import await_ready
from harness.patience import PATIENCE
from harness.substrate.common.filesystem import make_folder, remove_tree
from harness.substrate.common.names import plain
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.common.probe import UNANSWERED, probe
from harness.substrate.containers.volume_client import AgentVolume
from harness.substrate.containers.workspace import Shell, write_first_files
from harness.substrate.embedded.process_tree import Owner, end_all
from harness.substrate.embedded.spawn import Child, spawn
from harness.substrate.embedded.start_journal import Started
from harness.substrate.kind.cluster import Standing
from harness.substrate.kind.manifests import Filled, filled
from harness.substrate.kind.node import WorkloadNode
from harness.substrate.kind.task import HOLD, PodTask, end_work, framed, wait_for_work
from harness.substrate.kind.volume import OURS, close_volume, open_volume


@dataclass(slots=True)
class KindSite:
    """A cluster, and the namespace in it that is called like the site.

    `make`: makes the cluster when it is first needed; `walled`: the addresses outside that its pods may reach, none
    where there is no wall; `lit`: all that `deploy/` has is applied at once, with no replica.
    """

    name: str
    run_folder: Path
    logs: Path
    started: Started
    make: Callable[[], Standing] = field(repr=False)
    token: str = field(repr=False)
    walled: tuple[str, ...] = ()
    lit: bool = False
    runs_images: bool = True
    _standing: Standing | None = None
    _nodes: dict[str, WorkloadNode] = field(default_factory=dict)
    _tasks: list[Child] = field(default_factory=list)
    _volumes: dict[str, AgentVolume] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: Lock = field(default_factory=Lock, repr=False)
    _opening: RLock = field(default_factory=RLock, repr=False)

    @property
    def standing(self) -> Standing:
        """The cluster, made when it is not there. Raises HarnessError."""
        with self._opening:
            if self._standing is None:
                made = self.make()
                try:
                    self._prepare(made)
                except BaseException:
                    with contextlib.suppress(HarnessError):  # the first error says what is wrong
                        made.destroy()
                    raise
                self._standing = made
            return self._standing

    def _prepare(self, made: Standing) -> None:
        if self.walled:
            wall.build(made.cluster.machine, self.walled)
        made.prepare()
        if self.lit:
            made.light()

    @property
    def api(self) -> Api:
        """The API of its cluster, for its namespace."""
        return self.standing.api

    def provide(self) -> None:
        """Have everything stand that an activation needs, and nothing run. Raises HarnessError."""
        self.standing.light()
        self.standing.await_images()

    def launch(self, spec: NodeSpec) -> Node:
        """Start one node and return once it is ready. Raises HarnessError with its last log lines."""
        plain("node", spec.name)
        where = f"{spec.name} on {self.name}"
        log = make_folder(self.logs) / f"{spec.name}.log"
        standing = self.standing
        with self._lock:
            former = self._nodes.get(spec.name)
            if former is not None and former.alive:
                raise HarnessError(f"{where}: already running; kill it before it is launched again")
            ports = {port: standing.ports.take() for port in spec.ports}
            endpoints = {port: self._endpoint(spec, port, number) for port, number in ports.items()}
            node = WorkloadNode(spec, where, ports, endpoints, log, self._begin)
            self._nodes[spec.name] = node
        if former is not None:
            former.flush()
            standing.ports.give(former.ports.values())
        node.start()
        return node

    def _endpoint(self, spec: NodeSpec, port: str, number: int) -> Endpoint:
        cluster = self.standing.cluster
        inside = Address(name_of(spec.name), port_numbers(spec.image, spec.ports)[port])
        outside = Address(LOOPBACK, cluster.plan.ports[number])
        return Endpoint(inside, outside, Address(cluster.address, number))

    def _begin(self, node: WorkloadNode) -> None:
        spec = node.spec
        if self._nodes.get(spec.name) is not node:
            raise HarnessError(f"{node.where}: lost with its site, or replaced; launch it again")
        standing = self.standing
        image = spec.image or OURS
        made = filled(spec, reference(image), node.ports, standing.manifests.of(node.name))
        write_first_files(spec, self.volume)
        standing.claim(spec.volumes)
        standing.require_image(image)
        node.api, node.machine, node.kind = standing.api, standing.cluster.machine, made.kind
        node.follow()
        self._apply(node, made)

    def _apply(self, node: WorkloadNode, made: Filled) -> None:
        ready, began = node.spec.ready, SYSTEM.monotonic()
        try:
            self.api.apply(made.manifests)
            await_ready(self.api, node.name, ready.patience, what=node.where)
            left = max(5.0, ready.patience - (SYSTEM.monotonic() - began))
            if port := ready.port or next(iter(node.spec.ports), ""):
                self._await_answer(node, port, left)
        except HarnessError:
            with contextlib.suppress(HarnessError):  # the first error says what is wrong
                node.kill()
            raise

    def _await_answer(self, node: WorkloadNode, port: str, patience: float) -> None:
        """Ask from outside, as clients will: a cluster takes notice of a ready pod by and by."""
        endpoint, ready = node.endpoint(port), node.spec.ready

        def answers() -> None:
            probe(endpoint.from_afar, "", 0)  # the engine's proxy on loopback accepts whoever is behind it
            probe(endpoint.outside, ready.path, ready.status)

        wait_until(answers, patience=patience, on=UNANSWERED, what=f"{node.where}: ready")

    def run(self, task: Task) -> Running:
        """Start one-shot work in a pod of its own, or in that of a node. Raises HarnessError."""
        number = f"{plain('task', task.name)}-{next(self._numbers)}"
        home = make_folder(self.run_folder / "sites" / self.name / "files" / number)
        shell = Shell.of(task)
        argv = tuple(shell.arguments(task.argv))
        if task.within:
            pod, name, prefix = self._pod_of(task), "", ("env", *(f"{k}={v}" for k, v in shell.environment().items()))
        else:
            name, prefix = f"task-{name_of(number)}", ()
            pod = wait_for_work(self.standing, task, shell, name, f"{task.name} on {self.name}")
        mark, work = framed(argv, 0 if task.within else HOLD)
        command = (*self.standing.kubectl(), "exec", "-i", pod.name, "-c", pod.containers[0].name, "--", *prefix, *work)
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)}
        try:
            child = spawn(command, env, home, self.started, Owner(self.run_folder, f"{self.name}/{number}"), None)
        except HarnessError:
            end_work(self._standing, name, pod)
            raise
        machine = self.standing.cluster.machine
        running = PodTask(
            task.name,
            child,
            make_folder(self.logs) / f"{number}.log",
            home,
            mark=mark,
            end=lambda: end_work(self._standing, name, pod),
            hold=lambda: machine.pause_work(pod.tasks),
            go=lambda: machine.resume(pod.tasks),
        )
        running.follow(task.stdin)
        with self._lock:
            self._tasks = [other for other in self._tasks if other.alive] + [child]
        return running

    def _pod_of(self, task: Task) -> Pod:
        if task.secrets:
            raise HarnessError(f"{task.name} on {self.name}: work within {task.within} cannot be given secrets")
        node = self._nodes.get(task.within)
        for pod in node.pods if node is not None else ():
            if pod.alive and not pod.going and pod.tasks:
                return pod
        raise HarnessError(f"{task.name} on {self.name}: {task.within} does not run; start it first")

    def volume(self, name: str) -> AgentVolume:
        """The volume of that name, made when it is not there. Raises HarnessError."""
        plain("volume", name)
        with self._opening:
            if name not in self._volumes:
                self._volumes[name] = open_volume(self.standing, name, self.token, f"volume {name} of {self.name}")
            return self._volumes[name]

    def lose_volume(self, name: str, patience: float = PATIENCE.pod_start) -> None:
        """Lose a volume with all in it; whoever uses it is ended first. Raises HarnessError."""
        with self._opening:
            if name in self._volumes:
                close_volume(self.standing, self._volumes[name])
                del self._volumes[name]
            users = [node.name for node in self._nodes.values() if name in node.spec.volumes]
            disruption.lose_claim(self.api, name_of(name), (*users, name_of(f"agent-{name}")), patience)
            self.standing.forget_claim(name)

    def prove_wall(self, outside: str) -> str:
        """Return a line for the record: every node's pod was denied a connection to `outside`. Raises HarnessError."""
        machine, tried = self.standing.cluster.machine, []
        for node in self._nodes.values():
            if tasks := [task for pod in node.pods if pod.alive and not pod.going for task in pod.tasks]:
                tried.append(f"{node.name}: {wall.prove(machine, tasks[0], outside, self.walled[0])}")
            elif node.alive:
                raise HarnessError(f"{node.where}: its pod has no process yet; the egress wall cannot be tried")
        if not tried:
            raise HarnessError(f"site {self.name}: no pod runs there; the egress wall cannot be tried")
        return "; ".join(tried)

    def destroy(self) -> None:
        """Lose it: its cluster's node killed and removed with its volumes. Logs are kept."""
        with self._lock:
            nodes, tasks = tuple(self._nodes.values()), tuple(self._tasks)
            self._nodes.clear()
            self._tasks.clear()
        with self._opening:
            self._volumes.clear()
            standing, self._standing = self._standing, None
        if standing is not None:
            standing.destroy()
        for node in nodes:
            node.lose()
        end_all({child.known for child in tasks}, Owner(self.run_folder, f"{self.name}/"))
        for child in tasks:
            child.process.wait()
        remove_tree(self.run_folder / "sites" / self.name)

    def empty(self) -> None:
        """Take everything from it but the cluster itself: quicker than another cluster. Raises HarnessError."""
        with self._opening, self._lock:
            for node in self._nodes.values():
                node.kill()
            self._volumes.clear()
            self._nodes.clear()
            self._numbers = itertools.count(1)
            if self._standing is not None:
                self._standing.empty()

    def living(self) -> int:
        """Return how many pods of nodes and tasks there are; volumes' agents do not count. Raises HarnessError."""
        if self._standing is None:
            return 0
        pods = [pod for pod in self.api.pods() if pod.alive and not pod.going]
        return len([pod for pod in pods if not pod.labels.get(NAME, "").startswith("agent-")])
