"""Ports that are handed over: to their node, past a copy that a program just being started has for a moment."""

from __future__ import annotations

import os
import socket
from threading import Timer

import pytest

from harness.substrate.common.ports import LOOPBACK, Taken, take_port


def test_a_copy_that_a_starting_program_has_for_a_moment_is_waited_for() -> None:
    port = take_port()
    copies = [os.dup(held) for held in port._held]  # what a fork has until it is executed

    def executed() -> None:
        for copy in copies:
            os.close(copy)

    closing = Timer(0.2, executed)
    closing.start()
    port.hand_over("server on primary: port sql")
    closing.join()
    with socket.create_server((LOOPBACK, port.number)):
        pass


def test_a_port_that_stays_taken_is_named() -> None:
    port = take_port()
    port.release()
    with (
        socket.create_server((LOOPBACK, port.number)),
        pytest.raises(Taken, match=rf"server on primary: port sql: 127.0.0.1:{port.number} is taken; end what listens"),
    ):
        port.hand_over("server on primary: port sql")
