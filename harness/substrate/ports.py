"""Free ports of this machine, never the same one twice."""

from __future__ import annotations

import socket
from threading import Lock

LOOPBACK = "127.0.0.1"
_given: set[int] = set()
_lock = Lock()


def free_port() -> int:
    """Return a TCP port that the kernel says is free and that was not returned before."""
    with _lock:
        while True:
            with socket.socket() as probe:
                probe.bind((LOOPBACK, 0))
                port: int = probe.getsockname()[1]
            if port not in _given:
                _given.add(port)
                return port
