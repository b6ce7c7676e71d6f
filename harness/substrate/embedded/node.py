"""Nodes and tasks as processes of this machine."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.node import Endpoint, NodeSpec
from harness.substrate.common.ports import Port
from harness.substrate.embedded.spawn import Child


@dataclass(slots=True)
class ProcessNode:
    """A node that is a process."""

    spec: NodeSpec
    ports: Mapping[str, Port] = field(repr=False)
    endpoints: Mapping[str, Endpoint]
    log: Path
    begin: Callable[[ProcessNode], None] = field(repr=False)
    running: Child | None = None
    leaves: tuple[Path, ...] = ()

    @property
    def child(self) -> subprocess.Popen[bytes] | None:
        """Its main process, None before the first start."""
        return self.running.process if self.running else None

    @property
    def alive(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self.running is not None and self.running.alive

    def start(self) -> None:
        """Start it and return once it is ready; a running node is left alone. Raises HarnessError."""
        if not self.alive:
            self.kill()  # what outlived it would be in the way
            self.begin(self)

    def kill(self) -> None:
        """End it and all it started, with no chance to tidy up. Its ports stay its own."""
        if self.running is not None:
            self.running.end()
            self._tidy()
            for port in self.ports.values():
                port.hold()

    def leave(self) -> None:
        """Give its ports back: it was ended, and will not be started again."""
        self._tidy()
        for port in self.ports.values():
            port.release()

    def _tidy(self) -> None:
        for path in self.leaves:
            path.unlink(missing_ok=True)

    def stop(self, patience: float) -> None:
        """Ask it to end in good order; kill it when `patience` seconds were not enough."""
        if self.running is not None and self.alive:
            self.running.thaw()
            self.running.process.send_signal(signal.Signals[f"SIG{self.spec.stop_signal}"])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.running.process.wait(patience)
        self.kill()

    def freeze(self) -> None:
        """Stop it and all it started in mid-thought."""
        if self.running is not None:
            self.running.freeze()

    def thaw(self) -> None:
        """Let them go on."""
        if self.running is not None:
            self.running.thaw()

    def endpoint(self, port: str) -> Endpoint:
        """Where its port of that name is; raises HarnessError for a name it has not."""
        if port not in self.endpoints:
            raise HarnessError(f"{self.spec.name} has no port {port!r}; it has {', '.join(self.endpoints) or 'none'}")
        return self.endpoints[port]
