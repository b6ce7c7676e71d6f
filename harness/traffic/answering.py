"""Asks a node of a lost site, from outside and with nothing of blackstart's between, whether it still answers."""

import re
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial

from harness.core.clock import NotYet, wait_until
from harness.core.errors import TookTooLong
from harness.core.node import Address, Node
from harness.core.parallel import in_parallel
from harness.patience import PATIENCE

# A server answers at least one of these at once, if only to say that it does not understand. The first begins as
# PostgreSQL's SSLRequest, which it answers with S or N, and is a malformed line for a server of HTTP; the second is a
# request of HTTP/1.0 (RFC 1945), for those that close a malformed one in silence.
REQUESTS = (b"\x00\x00\x00\x08\x04\xd2\x16\x2f\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n")
LARGEST = 4096  # bytes of an answer that are looked at
END = b"\r\n\r\n"  # of the headers of HTTP
SILENCES = 3  # asks in a row without an answer, after which a node is gone: a busy machine may not answer one in time
VARIABLE = re.compile(rb"(?im)^date:[^\r\n]*|[0-9]{4,}")
Addresses = Mapping[str, Sequence[Address]]  # where each node is reached, by its name
Ask = Callable[[Address], bool]


@dataclass(slots=True)
class Voices:
    """Tells a node's answer from that of others at its address: it knows the first one of each address.

    A network may have a proxy that answers for every address, so for a container that is cut off from its network. What
    a server says to the malformed request does not depend on the state of its program.
    """

    known: dict[Address, tuple[int, bytes]] = field(default_factory=dict)

    def __call__(self, address: Address) -> bool:
        """Return whether the node at the address answers. An accepted connection is no answer.

        The kernel accepts connections for a frozen process, and a proxy for a node that is gone.
        """
        if address in self.known:
            number, before = self.known[address]
            found = _reply(address, REQUESTS[number])
            # Of an answer in several pieces, more or fewer may have arrived: PostgreSQL's N, or N and a complaint.
            same = found.startswith(before) or before.startswith(found)
            return bool(found) and (number > 0 or same)
        for number, request in enumerate(REQUESTS):
            if found := _reply(address, request):
                self.known[address] = number, found
                return True
        return False


def _reply(address: Address, request: bytes) -> bytes:
    """Return the beginning of an answer without what changes in it, b"" without one."""
    limit, text = PATIENCE.node_answers, b""
    with suppress(OSError), closing(socket.create_connection((address.host, address.port), limit)) as connection:
        if connection.getsockname() == connection.getpeername():
            return b""  # a free port of this machine, connected to itself
        connection.settimeout(limit)
        connection.sendall(request)
        while (piece := connection.recv(LARGEST)) and len(text) < LARGEST:
            text += piece
            if not text.startswith(b"HTTP/") or END in text:
                break
    return VARIABLE.sub(b"", text.partition(END)[0][:LARGEST])


def addresses_of(nodes: Mapping[str, Node]) -> dict[str, tuple[Address, ...]]:
    """Return where each node is reached from outside its site, by its name."""
    return {
        name: tuple(node.endpoint(port).outside for port in node.spec.ports) for name, node in sorted(nodes.items())
    }


def _heard(asked: Addresses, ask: Ask) -> dict[str, Address]:
    """Return the first address of each node that answers; all are asked at the same time."""
    every = [(name, address) for name, addresses in asked.items() for address in addresses]
    answers = in_parallel({f"{name} at {address}": partial(ask, address) for name, address in every})
    return {name: address for name, address in reversed(every) if answers[f"{name} at {address}"]}


def _repeat(left: Callable[[], Collection[str]]) -> None:
    """Call `left` until it returns no name, or for `strike_effect`."""

    def none_left() -> None:
        if names := left():
            raise NotYet(", ".join(names))

    with suppress(TookTooLong):
        wait_until(none_left, patience=PATIENCE.strike_effect, what="the nodes of the site")


def still_silent(asked: Addresses, ask: Ask) -> tuple[str, ...]:
    """Return the nodes that do not answer, by name: one that is asked again and again until it does is left out."""
    silent = dict(asked)

    def left() -> Collection[str]:
        for name in _heard(silent, ask):
            del silent[name]
        return silent

    _repeat(left)
    return tuple(silent)


def still_answering(asked: Addresses, ask: Ask) -> dict[str, Address]:
    """Return the nodes that still answer, each with the address that does; asked again and again until none does.

    A node is gone after SILENCES asks in a row without an answer. All are asked at the same time: a cluster ends its
    containers one after the other.
    """
    living = dict.fromkeys(asked, Address("", 0))
    silences = dict.fromkeys(asked, 0)

    def left() -> Collection[str]:
        found = _heard({name: asked[name] for name in living}, ask)
        for name in tuple(living):
            silences[name] = 0 if name in found else silences[name] + 1
            if silences[name] == SILENCES:
                del living[name]
        living.update(found)
        return living

    _repeat(left)
    for _ in range(SILENCES):  # of a node that has just answered, one silence is not the end
        if any(silences[name] for name in living):
            left()
    return living
