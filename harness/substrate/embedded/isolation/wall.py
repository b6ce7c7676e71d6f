"""The wall of an embedded site: its programs have a network of their own, in which they reach each other alone.

That network has the loopback interface and no route. Two kinds of relays lead through the wall, each on the same
address and port on both sides: from this machine to the ports of the site's nodes, and from the site to the drill's
receivers. Each attempt at any other address fails at once, and the kernel counts it.
"""

import contextlib
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.errors import HarnessError
from harness.core.node import Address
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.embedded.isolation.namespaces import Namespaces
from harness.substrate.embedded.node import Gate, ProcessNode
from harness.substrate.embedded.relay import Relay

WALL = "a network namespace without a route: programs reach their site and the drill's receivers"
PROGRAM = Path(__file__).with_name("network_door.py")
COUNTED = (("snmp", "Ip:", "OutNoRoutes"), ("snmp6", "", "Ip6OutNoRoutes"))  # in /proc/PID/net


@dataclass(slots=True)
class Door:
    """A process in the network of a site that makes sockets there, for this process to use."""

    process: subprocess.Popen[bytes] = field(repr=False)
    asked: socket.socket = field(repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def open(cls, namespaces: Namespaces, folder: Path) -> "Door":
        """Start the process in the namespaces of a site, in this folder of it. Raises HarnessError."""
        ours, its = socket.socketpair()
        program = PROGRAM.read_text(encoding="utf-8")  # its path may not be seen there
        command = (*namespaces.prefix(folder), sys.executable, "-I", "-S", "-c", program)
        with its:
            try:
                process = subprocess.Popen(command, stdin=its.fileno(), start_new_session=True)
            except OSError as error:
                ours.close()
                raise HarnessError(f"{command[0]} cannot be started ({error.strerror})") from None
        return cls(process, ours)

    def make(self) -> socket.socket:
        """Return a new TCP socket in the site's network. Raises OSError when the site is lost."""
        with self._lock:
            self.asked.sendall(b"s")
            _, found, _, _ = socket.recv_fds(self.asked, 1, 1)
        if not found:
            raise ConnectionResetError("the network of the site is lost")
        return socket.socket(fileno=found[0])

    def dial(self, target: Address, patience: float) -> socket.socket:
        """Return a connection to an address in the site's network. Raises OSError."""
        made = self.make()
        try:
            made.settimeout(patience)
            made.connect((target.host, target.port))
        except BaseException:
            made.close()
            raise
        return made

    def listen(self, address: Address) -> socket.socket:
        """Return a socket that listens on an address in the site's network. Raises OSError."""
        made = self.make()
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address.host, address.port))
            made.listen()
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        """End the process."""
        self.asked.close()
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class Wall:
    """The wall of one site. `receivers`: addresses of this machine that its programs may reach."""

    receivers: set[Address] = field(default_factory=set)
    _door: Door | None = None
    _out: list[Relay] = field(default_factory=list)

    def build(self, namespaces: Namespaces, folder: Path) -> None:
        """Open the way to the receivers in the network of a new site. Raises HarnessError."""
        if namespaces.network is None:
            raise HarnessError("the site's programs have the machine's network: another version made it; sweep the run")
        self._door = Door.open(namespaces, folder)
        for address in sorted(self.receivers, key=str):
            self._open(address)

    def admit(self, address: Address) -> None:
        """Let the site's programs reach a receiver on loopback. Raises HarnessError."""
        if address not in self.receivers:
            self.receivers.add(address)
            if self._door is not None:
                self._open(address)

    def _open(self, address: Address) -> None:
        door = self._require_door()
        relay = Relay(address.host, address, address.port, listen=door.listen)
        relay.open()
        self._out.append(relay)

    def guard(self, node: ProcessNode) -> None:
        """Have clients reach a node by relays: its ports are free in the network of its site."""
        door = self._require_door()
        ports, node.ports = node.ports, {}
        node.gates = tuple(
            Gate(port, Relay(LOOPBACK, Address(LOOPBACK, port.number), port.number, dial=door.dial))
            for port in ports.values()
        )

    def refused(self) -> int | None:
        """Return how many packets of the site had no route, None before it has a network and after it is lost.

        A connection that is tried is one packet, a name that is asked for one or more.
        """
        if self._door is None:
            return None
        try:
            folder = Path(f"/proc/{self._door.process.pid}/net")
            return sum(_count((folder / file).read_text(encoding="ascii"), line, name) for file, line, name in COUNTED)
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Close every way through it; another site may be built behind it."""
        for relay in self._out:
            relay.close()
        self._out.clear()
        if self._door is not None:
            with contextlib.suppress(OSError):
                self._door.close()
            self._door = None

    def _require_door(self) -> Door:
        if self._door is None:
            raise HarnessError("the site has no network of its own yet; start a program on it first")
        return self._door


def _count(text: str, line: str, name: str) -> int:
    """Return a counter of /proc/PID/net/snmp, or of snmp6 without `line`. Raises ValueError when it is not there."""
    if not line:
        words = text.split()
        return int(words[words.index(name) + 1]) if name in words else 0
    names, values = (one.split() for one in text.splitlines() if one.startswith(line))
    return int(values[names.index(name)])
