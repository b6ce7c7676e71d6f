"""Free ports of this machine: never the same one twice, and nobody else's while their node is down."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 15_000, 65_000
TRIES = 1000
LAUNCHES = 3  # of a node whose ports somebody else took first
APART = 251  # ports: more than one drill takes
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
_given: set[int] = set()
_lock = Lock()
_turns = count(os.getpid() * APART)


class Taken(HarnessError):
    """Somebody else listens on a port that was to be a node's."""


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
        """Let its node have it, now. Raises Taken when somebody else is there.

        A program of ours that is just being started by another thread has a copy of every socket until it is executed:
        that is waited for.
        """
        self.release()
        taken = Taken(f"{whose}: {LOOPBACK}:{self.number} is taken; end what listens there and start it again")

        def free() -> None:
            if not self.hold():
                raise taken

        try:
            wait_until(free, patience=PATIENCE.port_hand_over, on=Taken, every=0.01)
        except TookTooLong:
            raise taken from None
        self.release()


def _bound(kind: socket.SocketKind, number: int) -> int:
    """Return the descriptor of a socket that is bound to a port. Raises OSError."""
    with socket.socket(socket.AF_INET, kind) as made:
        if kind is socket.SOCK_STREAM:  # connections that linger from before do not count
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((LOOPBACK, number))
        return made.detach()


def take_port() -> Port:
    """Return a port that is free and that was not returned before; it is held.

    It lies below the range from which the kernel gives outgoing connections theirs: none of those can take it in
    the moment in which it is handed over. Each process of ours begins in a place of its own, so that two drills do
    not meet while a program of one is slow to take what it was handed. Raises HarnessError when all are taken.
    """
    lowest, above = LOWEST, _ephemeral()
    if above <= lowest:  # a machine that gives all of them away: its own choice is as good as any
        lowest, above = above, HIGHEST
    for _ in range(TRIES):
        number = lowest + next(_turns) % (above - lowest)
        with _lock:
            if number in _given:
                continue
            _given.add(number)
        port = Port(number)
        if port.hold():
            return port
    raise HarnessError(f"{LOOPBACK}: no free port between {lowest} and {above}; end what listens there")


def on_free_ports(launch: Callable[[], T]) -> T:
    """Return what `launch` returns, tried again on other ports when somebody took its own; the last Taken is raised."""
    for _ in range(LAUNCHES - 1):
        try:
            return launch()
        except Taken:  # nobody knows its ports yet: others serve as well
            continue
    return launch()


@cache
def _ephemeral() -> int:
    """Return the first port that the kernel gives to outgoing connections (ip(7), ip_local_port_range)."""
    try:
        return int(RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return LOWEST
