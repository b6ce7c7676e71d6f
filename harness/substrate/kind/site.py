"""A site that is a Kubernetes cluster of its own."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

from harness.core.clock import SYSTEM, wait_until
from harness.core.egress import Egress, Refused
from harness.core.errors import HarnessError
from harness.core.node import Address, Endpoint, NodeSpec, Running, Task
from harness.images.find import reference
from harness.images.table import port_numbers
from harness.kubernetes import disruption, egress_filter
from harness.kubernetes.api import Api
from harness.kubernetes.objects import Pod, name_of
from harness.kubernetes.waiting import await_ready
from harness.patience import PATIENCE
from harness.substrate.common.filesystem import make_folder, plain, remove_tree
from harness.substrate.common.logs import log_file
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.common.probe import UNANSWERED, probe
from harness.substrate.common.site import BaseSite
from harness.substrate.containers.volume_client import AgentVolume
from harness.substrate.containers.workspace import workspace_of, write_first_files
from harness.substrate.embedded.process_tree import Owner, end_all
from harness.substrate.embedded.spawn import Child, spawn
from harness.substrate.embedded.undo_journal import UndoJournal
from harness.substrate.kind.manifests import filled
from harness.substrate.kind.namespace import ClusterNamespace
from harness.substrate.kind.node import WorkloadNode
from harness.substrate.kind.task import HOLD, PodTask, begin_pod, end_pod, framed
from harness.substrate.kind.volume import OURS, close_volume, open_volume


@dataclass(slots=True)
class KindSite(BaseSite[WorkloadNode]):
    """A site: a cluster, and the namespace in it that has the name of the site.

    `make`: creates the cluster when it is first needed. `allowed`: the only outside addresses that its pods may reach;
    empty for no egress filter. `provisioned`: all manifests of `deploy/` are applied at once, with 0 replicas.
    """

    run_folder: Path
    logs: Path
    journal: UndoJournal
    make: Callable[[], ClusterNamespace] = field(repr=False)
    token: str = field(repr=False)
    allowed: tuple[str, ...] = ()
    provisioned: bool = False
    runs_images: bool = True
    _namespace: ClusterNamespace | None = None
    _isolated: bool = False
    _tasks: list[Child] = field(default_factory=list)
    _volumes: dict[str, AgentVolume] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _opening: RLock = field(default_factory=RLock, repr=False)

    @property
    def namespace(self) -> ClusterNamespace:
        """The namespace in its cluster, created with the cluster when it does not exist. Raises HarnessError."""
        with self._opening:
            if self._namespace is None:
                made = self.make()
                try:
                    self._prepare(made)
                except BaseException:
                    with contextlib.suppress(HarnessError):  # the original error is reported
                        made.cluster.destroy()
                    raise
                self._namespace = made
            return self._namespace

    def _prepare(self, made: ClusterNamespace) -> None:
        if self.allowed:
            egress_filter.build(made.machine, self.allowed)
        made.create()
        if self.provisioned:
            made.provision()

    @property
    def api(self) -> Api:
        """The API of its cluster, for its namespace. Raises HarnessError."""
        return self.namespace.api

    def launch(self, spec: NodeSpec) -> WorkloadNode:
        """Start one node and return it once it is ready. Raises HarnessError with its last log lines."""
        _ = self.namespace  # created before any lock is taken: that takes a minute
        return BaseSite.launch(self, spec)

    def _make(self, spec: NodeSpec) -> WorkloadNode:
        ports = {port: self.namespace.ports.take() for port in spec.ports}
        endpoints = {port: self._endpoint(spec, port, number) for port, number in ports.items()}
        where, log = f"{spec.name} on {self.name}", log_file(self.logs, spec.name)
        return WorkloadNode(spec, where, ports, endpoints, log, self._begin, self.namespace)

    def _endpoint(self, spec: NodeSpec, port: str, number: int) -> Endpoint:
        cluster = self.namespace.cluster
        inside = Address(name_of(spec.name), port_numbers(spec.image, spec.ports)[port])
        outside = Address(LOOPBACK, cluster.plan.ports[number])
        return Endpoint(inside, outside, Address(cluster.address, number))

    def _start(self, node: WorkloadNode) -> None:
        spec, namespace, began = node.spec, self.namespace, SYSTEM.monotonic()
        image, ready = spec.image or OURS, spec.ready
        made = filled(spec, reference(image), node.ports, namespace.manifests.of(node.name))
        write_first_files(spec, self.volume)
        namespace.claim(spec.volumes)
        namespace.require_image(image)
        node.kind = made.kind
        node.follow_log()
        try:
            self.api.apply(made.manifests)
            await_ready(self.api, node.name, ready.patience, what=node.where, start=PATIENCE.pod_start)
            if self._isolated:
                self._partition()
            elif port := ready.port or next(iter(spec.ports), ""):
                self._await_answer(node, port, max(5.0, ready.patience - (SYSTEM.monotonic() - began)))
        except HarnessError:
            with contextlib.suppress(HarnessError):  # the original error is reported
                node.kill()
            raise

    def _await_answer(self, node: WorkloadNode, port: str, patience: float) -> None:
        """Wait until clients get an answer: kube-proxy may lag behind pod readiness."""
        endpoint, ready = node.endpoint(port), node.spec.ready

        def answers() -> None:
            probe(endpoint.from_afar, "", 0)  # the engine's proxy on loopback accepts every connection
            probe(endpoint.outside, ready.path, ready.status)

        wait_until(answers, patience=patience, on=UNANSWERED, what=f"{node.where}: ready")

    def run(self, task: Task) -> Running:
        """Start one-shot work in a pod of its own, or in that of a node. Raises HarnessError."""
        number, where = f"{plain('task', task.name)}-{next(self._numbers)}", f"{task.name} on {self.name}"
        home = make_folder(self.run_folder / "sites" / self.name / "files" / number)
        workspace, namespace = workspace_of(task), self.namespace
        argv = workspace.arguments(task.argv)
        if task.within:
            given = (f"{key}={value}" for key, value in workspace.environment().items())
            pod, name, prefix = self._pod_of(task), "", ["env", *given]
        else:
            name, prefix = f"task-{name_of(number)}", []
            pod = begin_pod(namespace, task, workspace, name, where)
        mark, command = framed(argv, 0 if task.within else HOLD)
        kubectl = (*namespace.kubectl(), "exec", "-i", pod.name, "-c", pod.containers[0].name, "--", *prefix, *command)
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)}
        try:
            child = spawn(kubectl, env, home, self.journal, Owner(self.run_folder, f"{self.name}/{number}"), None)
        except HarnessError:
            end_pod(self._namespace, name, pod)
            raise

        def end() -> None:
            end_pod(self._namespace, name, pod)
            child.end_with(home)

        running = PodTask(task.name, log_file(self.logs, number), end, child, mark)
        running.follow(task.stdin)
        with self._lock:
            self._tasks = [other for other in self._tasks if other.alive] + [child]
        return running

    def _pod_of(self, task: Task) -> Pod:
        if task.secrets:
            raise HarnessError(f"{task.name} on {self.name}: a task within {task.within} cannot be given secrets")
        node = self._nodes.get(task.within)
        for pod in node.pods if node is not None else ():
            if pod.alive and not pod.going and pod.tasks:
                return pod
        raise HarnessError(f"{task.name} on {self.name}: {task.within} is not running; start it first")

    def volume(self, name: str) -> AgentVolume:
        """Return the volume of that name, created with its agent when it does not exist. Raises HarnessError."""
        plain("volume", name)
        with self._opening:
            if name not in self._volumes:
                self._volumes[name] = open_volume(self.namespace, name, self.token, f"volume {name} of {self.name}")
            return self._volumes[name]

    def lose_volume(self, name: str, patience: float = PATIENCE.pod_start) -> None:
        """Delete a volume with all its data, after scaling the workloads that use it to 0. Raises HarnessError."""
        with self._opening:
            if name in self._volumes:
                close_volume(self.namespace, self._volumes[name])
                del self._volumes[name]
            users = [node.name for node in self._nodes.values() if name in node.spec.volumes]
            disruption.lose_claim(self.api, name_of(name), (*users, name_of(f"agent-{name}")), patience)
            self.namespace.forget_claims(name)

    def egress(self) -> Egress | None:
        """Return what keeps its pods from other addresses, and what all of them were refused; None without a filter."""
        if not self.allowed or self._namespace is None:
            return None
        return Egress(egress_filter.WALL, (Refused(self.name, egress_filter.refused(self._namespace.machine)),))

    def prove_egress_filter(self, outside: str) -> str:
        """Return a line for the record: no node's pod could connect to `outside`. Raises HarnessError."""
        machine, tried = self.namespace.machine, []
        for node in self._nodes.values():
            if tasks := [task for pod in node.pods if pod.alive and not pod.going for task in pod.tasks]:
                tried.append(f"{node.name}: {egress_filter.prove(machine, tasks[0], outside, self.allowed[0])}")
            elif node.alive:
                raise HarnessError(f"{node.where}: its pod has no process yet; the egress filter cannot be tested")
        if not tried:
            raise HarnessError(f"site {self.name}: no pod runs there; the egress filter cannot be tested")
        return "; ".join(tried)

    def freeze(self) -> None:
        """Pause all containers of all its nodes. Raises HarnessError."""
        self.namespace.machine.pause(task for node in self._nodes.values() for task in node.tasks)

    def thaw(self) -> None:
        """Resume all containers of all its nodes. Raises HarnessError."""
        self.namespace.machine.resume(task for node in self._nodes.values() for task in node.tasks)

    def isolate(self) -> None:
        """Partition its nodes, and those that start later, from everything outside the cluster. Raises HarnessError."""
        self._isolated = True
        self._partition()

    def _partition(self) -> None:
        ports = [number for node in self._nodes.values() for number in node.ports.values()]
        disruption.partition(self.namespace.machine, self.namespace.cluster.address, ports)

    def rejoin(self) -> None:
        """End the partition. Raises HarnessError."""
        self._isolated = False
        disruption.end_partition(self.namespace.machine)

    def destroy(self) -> None:
        """SIGKILL the cluster's node and remove it with its volumes. Logs are kept. Raises HarnessError."""
        nodes = self._forget_nodes()
        with self._lock:
            tasks, self._tasks = self._tasks, []
        with self._opening:
            self._volumes.clear()
            namespace, self._namespace, self._isolated = self._namespace, None, False
        if namespace is not None:
            namespace.cluster.destroy()
        for node in nodes:
            node.lose()
        end_all({child.id for child in tasks}, Owner(self.run_folder, f"{self.name}/"))
        for child in tasks:
            child.process.wait()
        remove_tree(self.run_folder / "sites" / self.name)
