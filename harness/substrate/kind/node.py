"""A node that is a Deployment or StatefulSet of one pod."""

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Address
from harness.kubernetes.api import Api
from harness.kubernetes.objects import Pod, name_of, pod_of
from harness.kubernetes.waiting import await_gone, selector_of
from harness.patience import PATIENCE
from harness.substrate.common.logs import open_log
from harness.substrate.common.site import BaseNode
from harness.substrate.kind.namespace import ClusterNamespace

HUNG_UP = 0.25  # seconds: a server that accepts a connection and keeps it open for so long is there
AGAIN = 0.5  # seconds between two looks for another pod whose log to follow


@dataclass(slots=True)
class WorkloadNode(BaseNode):
    """A node that is a workload. `ports`: port -> NodePort; `namespace`: None once its cluster was destroyed."""

    ports: Mapping[str, int] = field(repr=False)
    namespace: ClusterNamespace | None = field(default=None, repr=False)
    kind: str = "Deployment"
    _ended: Event = field(default_factory=Event, repr=False)

    @property
    def name(self) -> str:
        """The name of its workload."""
        return name_of(self.spec.name)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Its pods, terminating ones included. Raises HarnessError when the API server does not answer."""
        return self.namespace.api.pods(selector_of(self.name)) if self.namespace is not None else ()

    @property
    def tasks(self) -> list[str]:
        """The containerd ids of its running containers. Raises HarnessError."""
        return [task for pod in self.pods for task in pod.tasks]

    @property
    def alive(self) -> bool:
        """Whether it has a pod, frozen or not. Raises HarnessError when the API server does not answer."""
        return any(pod.alive and not pod.going for pod in self.pods)

    def kill(self) -> None:
        """SIGKILL it: pause its containers, scale to 0, delete the pod. Volumes are kept. Raises HarnessError."""
        if self.namespace is None:
            return
        api, machine, pods = self.namespace.api, self.namespace.machine, self.pods
        tasks = [task for pod in pods for task in pod.tasks]
        with contextlib.suppress(HarnessError):  # a container that ended cannot be paused
            machine.pause(tasks)
        if not api.scale(self.kind, self.name, 0):
            return
        self._await_terminating(api)
        doomed = {pod.uid: pod for pod in (*pods, *self.pods)}
        for pod in doomed.values():
            api.delete("Pod", pod.name, grace=0)
        machine.kill(tasks)
        machine.await_removed(doomed)
        await_gone(api, self.name, PATIENCE.pod_termination, what=self.where)
        self.flush()
        self._await_closed()

    def freeze(self) -> None:
        """Pause its containers: silent, until a probe of its pod has failed too often. Raises HarnessError."""
        if self.namespace is not None:
            self.namespace.machine.pause(self.tasks)

    def thaw(self) -> None:
        """Resume its containers. Raises HarnessError."""
        if self.namespace is not None:
            self.namespace.machine.resume(self.tasks)

    def discard(self) -> None:
        """Free its NodePorts: it is not started again."""
        self.flush()
        if self.namespace is not None:
            self.namespace.ports.give(self.ports.values())

    def lose(self) -> None:
        """Note that its cluster was destroyed. Its log has all output up to then."""
        self.namespace = None
        self._ended.set()
        self._follower = None

    def follow_log(self) -> None:
        """Copy the output of its pods from now on into its log."""
        self.flush()
        if self.namespace is not None:
            self._ended = Event()
            self.follow(self._copy, self.namespace.api, self._ended)

    def flush(self) -> None:
        """End the copying of its output, once the last of it is in its log."""
        self._ended.set()
        BaseNode.flush(self)

    def _copy(self, api: Api, ended: Event) -> None:
        seen: set[tuple[str, str, int]] = set()
        while True:
            last = ended.is_set()
            with contextlib.suppress(HarnessError, OSError):
                for pod in api.pods(selector_of(self.name)):
                    for container in pod.containers:
                        key = (pod.name, container.name, container.restarts)
                        if key not in seen and (container.running or container.code is not None):
                            seen.add(key)
                            self._write(api, pod.name, container.name)
            if last or ended.wait(AGAIN):
                return

    def _write(self, api: Api, pod: str, container: str) -> None:
        with open_log(self.log) as log:
            for piece in api.follow_log(pod, container):
                log.write(piece)

    def _await_terminating(self, api: Api) -> None:
        """Wait until the controller has deleted every pod: one deleted before is replaced. Raises TookTooLong."""
        for found in api.follow("Pod", selector_of(self.name), PATIENCE.pod_termination):
            if all(pod.going for pod in map(pod_of, found)):
                return
        raise TookTooLong(f"{self.where}: its pods deleted: not within {PATIENCE.pod_termination:g} s")

    def _await_closed(self) -> None:
        for endpoint in self.endpoints.values():
            address = endpoint.outside
            wait_until(
                lambda at=address: require_closed(at),  # type: ignore[misc]
                patience=PATIENCE.port_closed,
                what=f"{self.where}: {address} closed",
            )


def require_closed(address: Address) -> None:
    """Do nothing when a connection is refused, or closed at once by the engine's proxy; raises NotYet."""
    try:
        with socket.create_connection((address.host, address.port), timeout=HUNG_UP) as connection:
            connection.settimeout(HUNG_UP)
            if connection.recv(1):
                raise NotYet(f"{address} still answers")
    except TimeoutError:
        raise NotYet(f"{address} is still open") from None
    except OSError:
        return
