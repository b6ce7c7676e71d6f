"""A node that is a container."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.core.node import Endpoint, NodeSpec
from harness.images.engine import explained
from harness.patience import PATIENCE
from harness.substrate.common.logs import last_lines, open_log
from harness.substrate.common.ports import Port

LIVING = ("running", "paused", "restarting")


@dataclass(slots=True)
class ContainerNode:
    """A node in a container. `begin` starts it and returns once it is ready; it may be asked for again."""

    spec: NodeSpec
    where: str
    ports: Mapping[str, Port] = field(repr=False)
    endpoints: Mapping[str, Endpoint]
    log: Path
    begin: Callable[[ContainerNode], None] = field(repr=False)
    networks: Mapping[str, tuple[Network, tuple[str, ...]]] = field(default_factory=dict, repr=False)
    container: Container | None = field(default=None, repr=False)
    _follower: Thread | None = field(default=None, repr=False)

    @property
    def status(self) -> str:
        """The engine's word for its state, "" for a container that is not there. Raises HarnessError."""
        if self.container is None:
            return ""
        with explained(self.where):
            try:
                self.container.reload()
            except NotFound:
                return ""
        return str(self.container.status)

    @property
    def alive(self) -> bool:
        """Whether the container runs, frozen or not."""
        return self.status in LIVING

    def start(self) -> None:
        """Start it and return once it is ready; a running node is left alone. Raises HarnessError."""
        if not self.alive:
            self.begin(self)

    def kill(self) -> None:
        """End it with no chance to tidy up; its volumes and its ports stay its own. Raises HarnessError."""
        if self.container is not None and self.alive:
            self._kill(self.container)
        self._flush()
        for port in self.ports.values():
            port.hold()

    def _kill(self, container: Container) -> None:
        with explained(self.where), contextlib.suppress(NotFound):  # it went by itself meanwhile
            try:
                if self.status == "paused":
                    container.unpause()
                container.kill()
            except APIError:
                if self.alive:
                    raise
            container.wait(timeout=PATIENCE.container_kill)

    def stop(self, patience: float) -> None:
        """Ask it to end in good order; kill it when `patience` seconds were not enough. Raises HarnessError."""
        if self.container is not None and self.alive:
            self.thaw()
            with explained(self.where), contextlib.suppress(NotFound):
                self.container.stop(timeout=max(1, round(patience)))
        self.kill()

    def leave(self) -> None:
        """Give its ports back: it was ended, and will not be started again."""
        self._flush()
        for port in self.ports.values():
            port.release()

    def freeze(self) -> None:
        """Stop all its processes in mid-thought: the engine's pause. Raises HarnessError."""
        if self.container is not None and self.status == "running":
            with explained(self.where):
                self.container.pause()

    def thaw(self) -> None:
        """Let them go on. Raises HarnessError."""
        if self.container is not None and self.status == "paused":
            with explained(self.where):
                self.container.unpause()

    def isolate(self) -> None:
        """Cut it off from every network: its peers, other sites, and clients on loopback. Raises HarnessError."""
        for network, _ in self.networks.values():
            with explained(f"{self.where}: cutting it off"):
                if self._joined(network):
                    network.disconnect(self.container, force=True)

    def rejoin(self) -> None:
        """Let it be reached again, by the names it had. Raises HarnessError."""
        for network, aliases in self.networks.values():
            with explained(f"{self.where}: joining a network"):
                if self.container is not None and not self._joined(network):
                    network.connect(self.container, aliases=list(aliases))

    def _joined(self, network: Network) -> bool:
        network.reload()
        return self.container is not None and self.container.id in (network.attrs.get("Containers") or {})

    def endpoint(self, port: str) -> Endpoint:
        """Where its port of that name is; raises HarnessError for a name it has not."""
        if port not in self.endpoints:
            raise HarnessError(f"{self.spec.name} has no port {port!r}; it has {', '.join(self.endpoints) or 'none'}")
        return self.endpoints[port]

    def follow(self, *, again: bool = False) -> None:
        """Keep what it says in its log; `again`: from now on, for what was said before is there."""
        self._flush()
        since = SYSTEM.wall().timestamp() if again else None
        self._follower = Thread(target=self._copy, args=(since,), daemon=True)
        self._follower.start()

    def _copy(self, since: float | None) -> None:
        if self.container is None:
            return
        with open_log(self.log) as log, contextlib.suppress(NotFound, APIError, OSError):
            for piece in self.container.logs(stream=True, follow=True, since=since):
                log.write(piece)

    def _flush(self) -> None:
        if self._follower is not None:
            self._follower.join(PATIENCE.log_flush)
            self._follower = None

    def died(self) -> str:
        """Return how a node ended that is no longer alive: its exit code and the last lines of its log."""
        self._flush()
        code = "no" if self.container is None else self.container.attrs["State"]["ExitCode"]
        return f"{self.where} ended with code {code} before it was ready: {last_lines(self.log)}"
