"""A node that is a container."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from harness.core.errors import HarnessError
from harness.images import inside
from harness.images.engine import explained
from harness.patience import PATIENCE
from harness.substrate.common.logs import open_log
from harness.substrate.common.ports import Port
from harness.substrate.common.site import BaseNode
from harness.substrate.docker.egress import COUNTS, refused
from harness.substrate.docker.ownership import remove

LIVING = ("running", "paused", "restarting")


@dataclass(slots=True)
class ContainerNode(BaseNode):
    """A node that is a container. `networks`: name -> a network that it joins, and its alias there or ""."""

    ports: Mapping[str, Port] = field(repr=False)
    networks: Mapping[str, tuple[Network, str]] = field(default_factory=dict, repr=False)
    container: Container | None = field(default=None, repr=False)

    @property
    def status(self) -> str:
        """The status of the container on the engine, "" when it does not exist. Raises HarnessError."""
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
        """Whether the container runs, paused or not. Raises HarnessError."""
        return self.status in LIVING

    @property
    def exit_code(self) -> int | None:
        """The exit code of the container after it ended."""
        return None if self.container is None else int(self.container.attrs["State"]["ExitCode"])

    def kill(self) -> None:
        """SIGKILL all processes of the container; its volumes and ports are kept. Raises HarnessError."""
        if self.container is not None and self.alive:
            self._kill(self.container)
        self.flush()
        for port in self.ports.values():
            port.hold()

    def _kill(self, container: Container) -> None:
        with explained(self.where), contextlib.suppress(NotFound):  # it ended meanwhile
            try:
                if self.status == "paused":
                    container.unpause()
                container.kill()
            except APIError:
                if self.alive:
                    raise
            container.wait(timeout=PATIENCE.container_kill)

    def discard(self) -> None:
        """Remove the container and free its ports: it is not started again. Raises HarnessError."""
        if self.container is not None:
            with explained(self.where):
                remove(self.container)
        self.release()

    def release(self) -> None:
        """Free the ports of a node whose container was removed."""
        self.flush()
        for port in self.ports.values():
            port.release()

    def freeze(self) -> None:
        """Pause the container: the cgroup freezer suspends all its processes. Raises HarnessError."""
        if self.container is not None and self.status == "running":
            with explained(self.where):
                self.container.pause()

    def thaw(self) -> None:
        """Unpause the container. Raises HarnessError."""
        if self.container is not None and self.status == "paused":
            with explained(self.where):
                self.container.unpause()

    def refused(self) -> int | None:
        """Return how many of its packets found no gateway since its start, None when that cannot be found out."""
        if self.container is None:
            return None
        try:
            with explained(self.where):
                code, text = inside.execute(self.container, ("cat", COUNTS))
        except HarnessError:
            return None
        return refused(text.decode(errors="replace")) if code == 0 else None

    def isolate(self, but: str = "") -> None:
        """Disconnect it from every network `but` one: from other sites and from clients. Raises HarnessError."""
        for name, (network, _) in self.networks.items():
            with explained(f"{self.where}: isolation"):
                if name != but and self._joined(network):
                    network.disconnect(self.container, force=True)

    def rejoin(self) -> None:
        """Connect it to every network again, with the alias that it had. Raises HarnessError."""
        for network, alias in self.networks.values():
            with explained(f"{self.where}: joining a network"):
                if self.container is not None and not self._joined(network):
                    network.connect(self.container, aliases=[alias] if alias else None)

    def _joined(self, network: Network) -> bool:
        if self.container is None:
            return False
        self.container.reload()
        return network.name in self.container.attrs["NetworkSettings"]["Networks"]

    def follow_log(self, since: float | None) -> None:
        """Copy its output into its log: all of it, or that since a moment in seconds of Unix time."""
        self.flush()
        self.follow(self._copy, since)

    def _copy(self, since: float | None) -> None:
        if self.container is None:
            return
        with open_log(self.log) as log, contextlib.suppress(NotFound, APIError, OSError):
            for piece in self.container.logs(stream=True, follow=True, since=since):
                log.write(piece)
