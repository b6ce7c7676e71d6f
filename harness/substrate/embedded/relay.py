"""TCP relay: passes connections to a port of this machine on to another address, until it is closed."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field
from threading import Thread

from harness.core.errors import HarnessError
from harness.core.node import Address
from harness.patience import PATIENCE

CHUNK = 1 << 16


@dataclass(slots=True)
class Relay:
    """A relay to `target`. `port`: where it listens on `host`, 0 for any free port. A context manager."""

    host: str
    target: Address
    port: int = 0
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
                self._server = socket.create_server((self.host, self.port))
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
            node = socket.create_connection((self.target.host, self.target.port), timeout=PATIENCE.relay_connect)
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
