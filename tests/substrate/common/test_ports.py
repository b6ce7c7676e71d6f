"""Ports are handed over to their node, even while a process that is being started has a copy of the socket."""

from __future__ import annotations

import os
import socket
from threading import Timer

import pytest

from harness.core.errors import PortInUse
from harness.substrate.common.ports import LOOPBACK, take_port


def test_the_copy_of_a_socket_in_a_forked_process_is_waited_for() -> None:
    port = take_port()
    copies = [os.dup(held) for held in port._held]  # as a forked process has until its exec

    def executed() -> None:
        for copy in copies:
            os.close(copy)

    closing = Timer(0.2, executed)
    closing.start()
    port.hand_over("server on primary: port sql")
    closing.join()
    with socket.create_server((LOOPBACK, port.number)):
        pass


def test_a_port_that_stays_in_use_is_named() -> None:
    port = take_port()
    port.release()
    with (
        socket.create_server((LOOPBACK, port.number)),
        pytest.raises(
            PortInUse, match=rf"server on primary: port sql: 127.0.0.1:{port.number} is in use; end what listens"
        ),
    ):
        port.hand_over("server on primary: port sql")
