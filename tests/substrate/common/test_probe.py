"""A node is ready when it answers itself: neither a proxy before it nor another program in its place counts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from harness.core.clock import NotYet
from harness.core.errors import NodeExited
from harness.core.node import Address, NodeSpec
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.common.probe import probe
from harness.substrate.common.site import BaseNode


@contextmanager
def proxy(*, closes: bool) -> Iterator[Address]:
    """A server that accepts a connection; `closes`: at once, as a proxy does whose node does not answer."""
    with socket.create_server((LOOPBACK, 0)) as server, ExitStack() as taken:

        def accept() -> None:
            connection = taken.enter_context(server.accept()[0])
            if closes:
                connection.close()

        thread = Thread(target=accept)
        thread.start()
        try:
            yield Address(*server.getsockname())
        finally:
            thread.join()


def test_a_connection_that_a_proxy_closes_again_has_not_reached_the_node() -> None:
    with proxy(closes=False) as address:
        probe(address, "", 0, proxied=True)
    with proxy(closes=True) as address, pytest.raises(NotYet, match="the connection was accepted and closed"):
        probe(address, "", 0, proxied=True)


@dataclass(slots=True)
class Ending(BaseNode):
    """A node that ends once it was asked so many times."""

    left: int = 0
    killed: bool = False

    @property
    def alive(self) -> bool:
        return self.left > 0

    def ask(self) -> None:
        """Another program answers at its address, whether it runs or not."""
        self.left -= 1

    def kill(self) -> None:
        self.killed = True

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def discard(self) -> None: ...


@pytest.mark.parametrize("left", [0, 1])
def test_an_answer_in_the_place_of_a_node_that_ended_is_none(left: int, tmp_path: Path) -> None:
    node = Ending(NodeSpec("odoo", ()), "odoo on dr", {}, {}, tmp_path / "log", lambda _node: None, left=left)
    with pytest.raises(NodeExited, match="odoo on dr ended with code None before it was ready"):
        node.await_ready(node.ask, (OSError,))
    assert node.killed
    assert node.left == 0  # after its end it is asked nothing


def test_a_node_that_lives_and_answers_is_ready(tmp_path: Path) -> None:
    node = Ending(NodeSpec("odoo", ()), "odoo on dr", {}, {}, tmp_path / "log", lambda _node: None, left=2)
    node.await_ready(node.ask, (OSError,))
    assert not node.killed
