"""TCP relay: passes connections to a port of this machine on to another address, until it is closed."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError
from harness.core.node import Address
from harness.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1 << 16


def dial(target: Address, patience: float) -> socket.socket:
    """Return a connection to an address. Raises OSError."""
    return socket.create_connection((target.host, target.port), timeout=patience)


def listen(address: Address) -> socket.socket:
    """Return a socket that listens on an address of this machine. Raises OSError."""
    return socket.create_server((address.host, address.port))


@dataclass(slots=True)
class Relay:
    """A relay to `target`. `port`: where it listens on `host`, 0 for any free port. A context manager.

    `dial`, `listen`: how it connects and listens; each may be in another network than this process.
    """

    host: str
    target: Address
    port: int = 0
    dial: Callable[[Address, float], socket.socket] = field(default=dial, repr=False)
    listen: Callable[[Address], socket.socket] = field(default=listen, repr=False)
    _server: socket.socket | None = field(default=None, repr=False)
    _connections: set[socket.socket] = field(default_factory=set, repr=False)

    @property
    def address(self) -> Address:
        """The address at which it listens; raises HarnessError when it is closed."""
        if self._server is None:
            raise HarnessError(f"relay to {self.target}: not open")
        return Address(self.host, int(self._server.getsockname()[1]))

    def open(self) -> None:
        """Listen; an open relay is left alone. Raises HarnessError."""
        if self._server is None:
            try:
                self._server = self.listen(Address(self.host, self.port))
            except OSError as error:
                raise HarnessError(f"{self.host}: cannot listen there ({error.strerror})") from None
            Thread(target=self._serve, args=(self._server,), daemon=True).start()

    def close(self) -> None:
        """Stop listening, and close all connections."""
        server, self._server = self._server, None
        for one in (server, *self._connections):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        if server is not None:
            server.close()

    def __enter__(self) -> Relay:
        self.open()
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def _serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # raised when the relay is closed
            while True:
                client, _ = server.accept()
                self._connections.add(client)
                if self._server is not server:  # closed meanwhile
                    client.close()
                    return
                Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            node = self.dial(self.target, PATIENCE.relay_connect)
            node.settimeout(None)
            with node:
                back = Thread(target=_pump, args=(node, client), daemon=True)
                back.start()
                _pump(client, node)
                back.join()
        self._connections.discard(client)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(CHUNK):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
