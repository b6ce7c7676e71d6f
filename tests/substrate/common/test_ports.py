"""Ports are handed over to their node, even while a process that is being started has a copy of the socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from threading import Timer

import pytest

from harness.core.errors import NodeExited, PortInUse
from harness.substrate.common.ports import LOOPBACK, on_free_ports, take_other_blocks, take_port


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


@pytest.mark.parametrize(
    "said",
    [
        "odoo on dr ended with code 1 before it was ready: Port 17760 is in use by another program. Either identify",
        "objects on primary ended with code 255: listen tcp 127.0.0.1:18202: bind: address already in use",
    ],
)
def test_a_program_whose_port_was_taken_while_it_started_is_launched_on_others(said: str) -> None:
    ended = [NodeExited(said, 1), NodeExited(said, 1)]

    def launch() -> str:
        if ended:
            raise ended.pop()
        return "ready"

    assert on_free_ports(launch) == "ready"
    ended += [NodeExited(said, 1)] * 3
    with pytest.raises(NodeExited, match="in use"):
        on_free_ports(launch)
    assert not ended


def test_a_program_that_ended_for_another_reason_is_not_launched_again() -> None:
    ended = [NodeExited("odoo on dr ended with code 1: no such database", 1)] * 2
    with pytest.raises(NodeExited, match="no such database"):
        on_free_ports(lambda: (_ for _ in ()).throw(ended.pop()))
    assert len(ended) == 1


TAKER = """
import os, sys
os.getpid = lambda: 7  # both would begin at the same port
from harness.substrate.common.ports import take_port
ports = [take_port() for _ in range(600)]
for port in ports:
    port.release()  # as for a program that is slow to bind it
print(*(port.number for port in ports), flush=True)
sys.stdin.read()
"""


def test_two_processes_give_no_port_in_common() -> None:
    words, piped = [sys.executable, "-c", TAKER], subprocess.PIPE
    given: list[list[str]] = []
    with ExitStack() as stack:
        for _ in range(2):
            taker = stack.enter_context(subprocess.Popen(words, stdin=piped, stdout=piped, text=True))
            assert taker.stdout is not None
            given.append(taker.stdout.readline().split())
            stack.callback(taker.terminate)
    first, second = map(set, given)
    assert len(first) == len(second) == 600
    assert not first & second


def test_a_forked_process_gives_ports_of_other_blocks() -> None:
    mine = take_port().number
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        take_other_blocks()
        os.write(write, " ".join(str(take_port().number) for _ in range(300)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        theirs = {int(number) for number in told.read().split()}
    os.waitpid(child, 0)
    more = {take_port().number for _ in range(100)}
    assert len(theirs) == 300
    assert not theirs & {mine, *more}
