"""Networks of docker sites: which addresses are reached, and isolation of a node and of a whole site."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network

from harness.core.errors import HarnessError
from harness.core.node import Isolatable, NodeSpec, Task
from harness.substrate.docker.site import DockerSite
from tests.substrate.substrates_under_test import DockerUnderTest, launched

pytestmark = pytest.mark.engine


def test_an_isolated_node_is_reached_again_after_it_rejoined(tested: DockerUnderTest, spec: NodeSpec) -> None:
    node, other = launched(tested, "primary", spec), launched(tested, "dr", spec)
    assert isinstance(node, Isolatable)
    for _ in range(2):  # again changes nothing
        node.isolate()
    assert node.alive
    assert tested.ask(other)
    with pytest.raises(OSError):  # noqa: PT011 - refused, reset or silent, by the engine's version
        tested.ask(node)
    for _ in range(2):
        node.rejoin()
    assert tested.ask(node)


def test_an_isolated_site_reaches_nothing_outside(tested: DockerUnderTest, spec: NodeSpec) -> None:
    site = tested.substrate.containers("primary")
    node = launched(tested, "primary", replace(spec, public=True))
    edge = launched(tested, "edge", replace(spec, name="door"))
    with socket.create_server((tested.substrate.here, 0)) as sink:
        port = sink.getsockname()[1]

        def reached(within: str) -> list[bool]:
            """Whether this machine is reached from the site, and the public node from the edge."""
            out = connects(site, tested.substrate.here, port, within)
            return [out, connects(tested.substrate.containers("edge"), "server.primary", 7000, "door")]

        assert reached("server") == [True, True]
        site.isolate()
        assert reached("server") == [False, False]
        assert not connects(site, tested.substrate.here, port, "")
        node.kill()
        node.start()  # is still isolated
        assert reached("server") == [False, False]
        site.rejoin()
        assert reached("server") == [True, True]
    assert edge.alive


def connects(site: DockerSite, host: str, port: int, within: str) -> bool:
    """Return whether a task, in a container of its own or in that of a node, can connect to an address."""
    script = f"import socket; socket.create_connection(('{host}', {port}), 2)"
    with site.run(Task("try", ("python3", "-c", script), "blackstart", within=within)) as running:
        return running.finish(20).code == 0


def test_an_isolation_or_kill_that_the_engine_refuses_is_an_error(
    tested: DockerUnderTest, spec: NodeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = launched(tested, "primary", spec)

    def refuse(*_: object, **__: object) -> None:
        raise APIError("no", explanation="the engine is not itself")

    monkeypatch.setattr(Network, "disconnect", refuse)
    with pytest.raises(HarnessError, match=r"^server on primary: isolation: the engine is not"):
        node.isolate()
    monkeypatch.setattr(Container, "kill", refuse)
    with pytest.raises(HarnessError, match=r"^server on primary: the engine is not itself$"):
        node.kill()
    assert node.alive


def test_only_public_nodes_are_reached_from_another_site(tested: DockerUnderTest, spec: NodeSpec) -> None:
    launched(tested, "primary", replace(spec, public=True))
    connect = (
        "python3 -c \"import socket, sys; socket.create_connection((sys.argv[1], 7000), 2).recv(1); print('in')\" "
    )

    def reaches(site: str, name: str) -> bool:
        with tested.substrate.site(site).run(Task("try", ("sh", "-c", connect + name), "blackstart")) as running:
            said = running.stdout.read()
            return running.finish(20).code == 0 and b"in" in said

    assert reaches("primary", "server")
    assert reaches("edge", "server.primary")
    assert not reaches("dr", "server")
    assert not reaches("dr", "server.primary")
