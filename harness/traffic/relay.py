"""TCP relay from an address of this machine to a server that listens on its loopback."""

import contextlib
import socket
from dataclasses import dataclass, field
from threading import Thread
from typing import Self

from harness.core.errors import HarnessError
from harness.core.node import Address
from harness.patience import PATIENCE

CHUNK = 1 << 16


@dataclass(slots=True)
class Relay:
    """Forwards connections from a free port of `host` to `target`, inside its `with` block."""

    host: str
    target: Address
    _server: socket.socket | None = field(default=None, repr=False)

    @property
    def address(self) -> Address:
        """Return where it listens; raises HarnessError before it does."""
        if self._server is None:
            raise HarnessError(f"relay to {self.target}: not started")
        return Address(self.host, int(self._server.getsockname()[1]))

    def __enter__(self) -> Self:
        try:
            self._server = socket.create_server((self.host, 0))
        except OSError as error:
            raise HarnessError(f"relay to {self.target}: cannot listen on {self.host} ({error.strerror})") from None
        Thread(target=self._serve, args=(self._server,), daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._server is not None:
            with contextlib.suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
            self._server = None

    def _serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # __exit__ closes the socket, which ends the loop
            while True:
                caller, _ = server.accept()
                Thread(target=self._join, args=(caller,), daemon=True).start()

    def _join(self, caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            called = socket.create_connection((self.target.host, self.target.port), timeout=PATIENCE.relay_connect)
            called.settimeout(None)
            with called:
                back = Thread(target=_pump, args=(called, caller), daemon=True)
                back.start()
                _pump(caller, called)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(CHUNK):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
