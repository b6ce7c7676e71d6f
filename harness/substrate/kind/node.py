"""A node that is a workload of a cluster."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Address, Endpoint, NodeSpec
from harness.kubernetes.api import Api
from harness.kubernetes.machine import Machine
from harness.kubernetes.objects import Pod, name_of, pod_of
from harness.kubernetes.waiting import await_gone, selector_of
from harness.patience import PATIENCE
from harness.substrate.common.logs import open_log

HUNG_UP = 0.25  # seconds: who accepts and says nothing for so long is somebody
AGAIN = 0.5  # seconds between two looks for another pod to follow


@dataclass(slots=True)
class WorkloadNode:
    """A Deployment or StatefulSet of one pod. `where`: what errors call it; `site`: None once it was lost."""

    spec: NodeSpec
    where: str
    ports: Mapping[str, int] = field(repr=False)
    endpoints: Mapping[str, Endpoint]
    log: Path
    begin: Callable[[WorkloadNode], None] = field(repr=False)
    api: Api | None = field(default=None, repr=False)
    machine: Machine | None = field(default=None, repr=False)
    kind: str = "Deployment"
    _follower: Thread | None = field(default=None, repr=False)
    _ended: Event = field(default_factory=Event, repr=False)

    @property
    def name(self) -> str:
        """What its workload is called."""
        return name_of(self.spec.name)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Its pods, those on their way out too. Raises HarnessError when the cluster does not answer."""
        return self.api.pods(selector_of(self.name)) if self.api is not None else ()

    @property
    def alive(self) -> bool:
        """Whether it has a pod, frozen or not. Raises HarnessError when the cluster does not answer."""
        return any(pod.alive and not pod.going for pod in self.pods)

    def start(self) -> None:
        """Start it and return once it is ready; a running node is left alone. Raises HarnessError."""
        if not self.alive:
            self.begin(self)

    def kill(self) -> None:
        """End it with no chance to tidy up: stopped in mid-thought, scaled to none, killed. Its data stays.

        Raises HarnessError.
        """
        if self.api is None or self.machine is None:
            return
        pods = self.pods
        tasks = [task for pod in pods for task in pod.tasks]
        with contextlib.suppress(HarnessError):  # what ended by itself cannot be stopped
            self.machine.pause(tasks)
        if not self._scale(0):
            return
        self._await_going()
        doomed = {pod.uid: pod for pod in (*pods, *self.pods)}
        for pod in doomed.values():
            self.api.delete("Pod", pod.name, grace=0)
        self.machine.kill(tasks)
        self.machine.let_go(doomed)
        await_gone(self.api, self.name, PATIENCE.pod_termination, what=self.where)
        self.flush()
        self._await_closed()

    def stop(self, patience: float) -> None:
        """Ask it to end in good order; kill it when `patience` seconds were not enough."""
        if self.api is not None:
            self.thaw()
            if self._scale(0):
                with contextlib.suppress(TookTooLong):
                    await_gone(self.api, self.name, patience, what=self.where)
        self.kill()

    def freeze(self) -> None:
        """Stop it in mid-thought: alive, and silent; until its probes take it out of service."""
        if self.machine is not None:
            self.machine.pause(task for pod in self.pods for task in pod.tasks)

    def thaw(self) -> None:
        """Let it go on."""
        if self.machine is not None:
            with contextlib.suppress(HarnessError):  # it was not frozen
                self.machine.resume(task for pod in self.pods for task in pod.tasks)

    def endpoint(self, port: str) -> Endpoint:
        """Where its port of that name is; raises HarnessError for a name it has not."""
        if port not in self.endpoints:
            raise HarnessError(f"{self.spec.name} has no port {port!r}; it has {', '.join(self.endpoints) or 'none'}")
        return self.endpoints[port]

    def lose(self) -> None:
        """Take notice that its cluster is gone. What its pods said was written as they said it; nothing more comes."""
        self.api = self.machine = None
        self._ended.set()
        self._follower = None

    def follow(self) -> None:
        """Keep what its pods say from now on in its log."""
        self.flush()
        if self.api is not None:
            self._ended = Event()
            self._follower = Thread(target=self._copy, args=(self.api, self._ended), daemon=True)
            self._follower.start()

    def flush(self) -> None:
        """Let the follower write what is still to come, and end."""
        if self._follower is not None:
            self._ended.set()
            self._follower.join(PATIENCE.log_flush)
            self._follower = None

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

    def _scale(self, replicas: int) -> bool:
        """Return whether there is a workload to be scaled. Raises HarnessError when it is not done."""
        return self.api is not None and self.api.scale(self.kind, self.name, replicas)

    def _await_going(self) -> None:
        """Wait until the controller has let go of every pod: one that is deleted before would be replaced."""
        if self.api is None:
            return
        for found in self.api.follow("Pod", selector_of(self.name), PATIENCE.pod_termination):
            if all(pod.going for pod in map(pod_of, found)):
                return

    def _await_closed(self) -> None:
        for endpoint in self.endpoints.values():
            address = endpoint.outside
            wait_until(
                lambda at=address: require_closed(at),  # type: ignore[misc]
                patience=PATIENCE.port_closed,
                on=NotYet,
                what=f"{self.where}: nobody at {address}",
            )


def require_closed(address: Address) -> None:
    """Do nothing when a connection is refused, or hung up at once by the engine's proxy; raises NotYet."""
    try:
        with socket.create_connection((address.host, address.port), timeout=HUNG_UP) as connection:
            connection.settimeout(HUNG_UP)
            if connection.recv(1):
                raise NotYet(f"{address} still answers")
    except TimeoutError:
        raise NotYet(f"{address} is still open") from None
    except OSError:
        return
