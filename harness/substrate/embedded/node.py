"""A node that is a process of this machine."""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import PortInUse
from harness.substrate.common.ports import Port
from harness.substrate.common.site import BaseNode
from harness.substrate.embedded.relay import Relay
from harness.substrate.embedded.spawn import Child


@dataclass(slots=True)
class Gate:
    """The port of a node for clients, on a site that can be isolated: a relay to the port for its peers."""

    port: Port
    relay: Relay

    def open(self, where: str) -> None:
        """Let clients connect. Raises PortInUse, HarnessError."""
        self.port.hand_over(where)
        self.relay.open()

    def close(self) -> None:
        """Close all connections of clients, and refuse new ones."""
        self.relay.close()
        self.port.hold()

    def release(self) -> None:
        """Close it, and free its port."""
        self.relay.close()
        self.port.release()


@dataclass(slots=True)
class ProcessNode(BaseNode):
    """A node that is a process. `leaves`: files outside its volumes that remain when it is killed; `gone` is told."""

    ports: Mapping[str, Port] = field(repr=False)
    running: Child | None = None
    leaves: tuple[Path, ...] = ()
    gates: tuple[Gate, ...] = ()
    gone: Callable[[Path], None] = lambda _path: None

    @property
    def child(self) -> subprocess.Popen[bytes] | None:
        """Its main process, None before the first start."""
        return self.running.process if self.running else None

    @property
    def alive(self) -> bool:
        """Whether its main process exists, frozen or not."""
        return self.running is not None and self.running.alive

    @property
    def exit_code(self) -> int | None:
        """The exit code of its main process after it ended, negative after a signal."""
        return self.child.returncode if self.child else None

    def kill(self) -> None:
        """SIGKILL it and all processes that it started; its volumes and ports are kept. Raises TookTooLong."""
        if self.running is not None:
            self.running.end()
            self._remove_leaves()
            for port in self.ports.values():
                port.hold()
            for gate in self.gates:
                gate.close()

    def open_gates(self) -> None:
        """Let clients connect; it is killed when another program has a port. Raises PortInUse, HarnessError."""
        try:
            for gate in self.gates:
                gate.open(f"{self.where}: port for clients")
        except PortInUse:
            self.kill()
            raise

    def discard(self) -> None:
        """Kill it and free its ports: it is not started again. Raises TookTooLong."""
        self.kill()
        self.release()

    def release(self) -> None:
        """Free the ports of a node that was ended."""
        self._remove_leaves()
        for port in self.ports.values():
            port.release()
        for gate in self.gates:
            gate.release()

    def _remove_leaves(self) -> None:
        for path in self.leaves:
            path.unlink(missing_ok=True)
            self.gone(path)

    def stop(self, patience: float) -> None:
        """Send its stop signal; SIGKILL it when it has not ended after `patience` seconds."""
        if self.running is not None and self.alive:
            self.running.thaw()
            self.running.process.send_signal(signal.Signals[f"SIG{self.spec.stop_signal}"])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.running.process.wait(patience)
        self.kill()

    def freeze(self) -> None:
        """SIGSTOP it and all processes that it started."""
        if self.running is not None:
            self.running.freeze()

    def thaw(self) -> None:
        """SIGCONT it and all processes that it started."""
        if self.running is not None:
            self.running.thaw()
