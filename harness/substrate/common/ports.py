"""Free ports of this machine: none is given twice, and a port stays reserved while its node is down."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, NodeExited, PortInUse, TookTooLong
from harness.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 15_000, 65_000
TRIES = 1000
LAUNCHES = 3  # of a node whose ports other programs took first
APART = 251  # ports: more than one drill needs
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
TAKEN = re.compile(r"address already in use|port \d+ is in use", re.IGNORECASE)  # in the last lines of a program
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
_lock = Lock()
_claims: set[int] = set()  # blocks of ports that no other process on this machine gives


@dataclass(slots=True)
class Port:
    """A port of loopback, for TCP and UDP. While it is held no program can bind it, and connections are refused."""

    number: int
    _held: list[int] = field(default_factory=list, repr=False)

    def hold(self) -> bool:
        """Bind it without listening; return whether that succeeded."""
        if not self._held:
            try:
                for kind in KINDS:
                    self._held.append(_bound(kind, self.number))
            except OSError:
                self.release()
        return bool(self._held)

    def release(self) -> None:
        """Unbind it: any program may take it."""
        while self._held:
            socket.close(self._held.pop())

    def hand_over(self, whose: str) -> None:
        """Unbind it for its node, which binds it next. Raises PortInUse when another program has it.

        A process that another thread forks meanwhile has a copy of every socket until its exec: that is waited for.
        """
        self.release()
        in_use = PortInUse(f"{whose}: {LOOPBACK}:{self.number} is in use; end what listens there and start it again")

        def free() -> None:
            if not self.hold():
                raise in_use

        try:
            wait_until(free, patience=PATIENCE.port_hand_over, on=PortInUse, every=0.01)
        except TookTooLong:
            raise in_use from None
        self.release()


def _bound(kind: socket.SocketKind, number: int) -> int:
    """Return the descriptor of a socket that is bound to a port. Raises OSError."""
    with socket.socket(socket.AF_INET, kind) as made:
        if kind is socket.SOCK_STREAM:  # old connections in TIME_WAIT do not count
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((LOOPBACK, number))
        return made.detach()


def take_port() -> Port:
    """Return a free port that was not returned before; it is held.

    It lies below the range of ephemeral ports: no outgoing connection can take it while it is handed over. Each process
    gives the ports of blocks of its own, so that two drills do not collide while a program is slow to bind its port.
    Raises HarnessError when all are in use.
    """
    lowest, above = _range()
    for _ in range(TRIES):
        with _lock:
            number = next(_numbers(), None)
        if number is None:
            break
        port = Port(number)
        if port.hold():
            return port
    raise HarnessError(f"{LOOPBACK}: no free port between {lowest} and {above}; end what listens there")


def take_other_blocks() -> None:
    """Give ports of other blocks from now on, in a forked process: its parent goes on with those it claimed."""
    with _lock:
        _numbers.cache_clear()
        _claims.clear()


def on_free_ports(launch: Callable[[], T]) -> T:
    """Return what `launch` returns; it is tried again on other ports where one is in use. Raises the last refusal.

    A port can be taken between its hand-over and the bind of a program that is slow to start, which then ends.
    """
    for _ in range(LAUNCHES - 1):
        try:
            return launch()
        except PortInUse:  # no client knows the ports yet
            continue
        except NodeExited as error:
            if not TAKEN.search(str(error)):
                raise
    return launch()


@cache
def _numbers() -> Iterator[int]:
    """Return the ports that this process gives, each once: first those of blocks that it has claimed."""
    return _of_blocks(*_range())


def _of_blocks(lowest: int, above: int) -> Iterator[int]:
    blocks = max(1, (above - lowest) // APART)
    order = [(os.getpid() + number) % blocks for number in range(blocks)]
    for block in order:
        if _claim(block):
            yield from range(lowest + block * APART, min(lowest + (block + 1) * APART, above))
    for block in order:  # those of others, where all are claimed
        if block not in _claims:
            yield from range(lowest + block * APART, min(lowest + (block + 1) * APART, above))


def _claim(block: int) -> bool:
    """Claim a block until this process ends; return whether no other has it. Without abstract sockets none has.

    The name of an abstract socket (unix(7)) is of a network namespace, as ports are, and goes with its process.
    """
    with socket.socket(socket.AF_UNIX) as made:
        try:
            made.bind(f"\0blackstart ports {block}")
        except OSError:
            return False
        _claims.add(block)
        made.detach()
    return True


def _range() -> tuple[int, int]:
    """Return the lowest port that is given, and the one above the last."""
    lowest, above = LOWEST, _ephemeral()
    return (lowest, above) if lowest < above else (above, HIGHEST)  # else all ports of this machine are ephemeral


@cache
def _ephemeral() -> int:
    """Return the lowest ephemeral port (ip(7), ip_local_port_range)."""
    try:
        return int(RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return LOWEST
