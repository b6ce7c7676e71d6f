"""A relay passes everything on in both directions, and ends open connections when it is closed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from harness.core.errors import HarnessError
from harness.core.node import Address
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.embedded.relay import Relay

MUCH = bytes(range(256)) * 40_000


@pytest.fixture
def echo() -> Iterator[Address]:
    """A server that returns what it receives, one connection after the other."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    client, _ = listener.accept()
                    with client:
                        while piece := client.recv(1 << 16):
                            client.sendall(piece)
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address(LOOPBACK, listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def connect(to: Address) -> socket.socket:
    return socket.create_connection((to.host, to.port), timeout=10)


def test_all_bytes_arrive_in_both_directions_and_the_end_too(echo: Address) -> None:
    with Relay(LOOPBACK, echo) as relay, connect(relay.address) as client:

        def send() -> None:
            client.sendall(MUCH)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = b"".join(iter(lambda: client.recv(1 << 16), b""))
        sender.join()
    assert received == MUCH


def test_a_closed_relay_ends_open_connections_and_refuses_new_ones(echo: Address) -> None:
    relay = Relay(LOOPBACK, echo)
    with pytest.raises(HarnessError, match="not open"):
        _ = relay.address
    relay.open()
    at = relay.address
    with connect(at) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        relay.close()
        assert client.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(at)
    Relay(LOOPBACK, echo, at.port).open()  # the same port may be opened again at once


def test_a_target_that_does_not_answer_ends_the_connection() -> None:
    with Relay(LOOPBACK, Address(LOOPBACK, 1)) as relay, connect(relay.address) as client:
        assert client.recv(10) == b""
