"""Free ports of this machine: never the same one twice, and nobody else's while their node is down."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from threading import Lock

from harness.core.errors import HarnessError

LOOPBACK = "127.0.0.1"
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
_given: set[int] = set()
_lock = Lock()


@dataclass(slots=True)
class Port:
    """A port of loopback, for TCP and UDP. While it is held nobody else is given it, and who connects is refused."""

    number: int
    _held: list[int] = field(default_factory=list, repr=False)

    def hold(self) -> bool:
        """Bind it without listening; return whether it could be had."""
        if not self._held:
            try:
                for kind in KINDS:
                    self._held.append(_bound(kind, self.number))
            except OSError:
                self.release()
        return bool(self._held)

    def release(self) -> None:
        """Let somebody have it."""
        while self._held:
            socket.close(self._held.pop())

    def hand_over(self, whose: str) -> None:
        """Let its node have it, now. Raises HarnessError when somebody else is there."""
        self.release()
        if not self.hold():
            raise HarnessError(f"{whose}: {LOOPBACK}:{self.number} is taken; end what listens there and start it again")
        self.release()


def _bound(kind: socket.SocketKind, number: int) -> int:
    """Return the descriptor of a socket that is bound to a port. Raises OSError."""
    with socket.socket(socket.AF_INET, kind) as made:
        if kind is socket.SOCK_STREAM:  # connections that linger from before do not count
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((LOOPBACK, number))
        return made.detach()


def take_port() -> Port:
    """Return a port that the kernel says is free and that was not returned before; it is held."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            number: int = probe.getsockname()[1]
        with _lock:
            if number in _given:
                continue
            _given.add(number)
        port = Port(number)
        if port.hold():
            return port
