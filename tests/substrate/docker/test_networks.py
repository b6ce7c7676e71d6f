"""Networks of docker sites: which addresses are reached, and isolation of a node and of a whole site."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig

from harness.core.clock import NotYet, wait_until
from harness.core.egress import Refused
from harness.core.errors import HarnessError
from harness.core.node import Isolatable, NodeSpec, Task
from harness.images.engine import engine
from harness.images.find import reference
from harness.substrate.docker.egress import closed, gateway_of, nobody_of, refused
from harness.substrate.docker.node import ContainerNode
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


TRY = """
import socket, sys
for where in sys.argv[1:]:
    host, _, port = where.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 20).close()
        print("reached")
    except OSError:
        print("refused")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sent:
    sent.sendto(b"out", (host, int(port)))
"""


def test_containers_reach_this_machine_and_nothing_beyond(tested: DockerUnderTest, spec: NodeSpec) -> None:
    """The address outside is one of this machine on another network: a container without the wall reaches it."""
    site = tested.substrate.containers("dr")
    node = launched(tested, "dr", spec)
    assert node.refused() == 0
    plain = tested.substrate.owned.shared_network("plain")
    outside = gateway_of(plain)
    with socket.create_server((outside, 0)) as far, socket.create_server((tested.substrate.here, 0)) as near:
        port = far.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind((outside, port))
            datagrams.settimeout(3)
            words = ("-c", TRY, f"{tested.substrate.here}:{near.getsockname()[1]}", f"{outside}:{port}")
            free = engine().containers.run(
                reference("blackstart"), words, entrypoint="python3", network=plain.name, remove=True
            )
            assert free.split()[1:] == [b"reached"]
            assert datagrams.recv(10) == b"out"
            with site.run(Task("try", ("python3", *words), "blackstart", within="server")) as running:
                assert running.stdout.read().split() == [b"reached", b"refused"]
                assert running.finish(30).code == 0
            with pytest.raises(TimeoutError):
                datagrams.recv(10)
    wait_until(lambda: require_refused(node, 2), patience=10, what="the datagram is refused too")
    assert site.egress().refused == (Refused("server", node.refused()),)
    node.kill()
    assert node.refused() is None


def require_refused(node: ContainerNode, least: int) -> None:
    if (node.refused() or 0) < least:
        raise NotYet(f"{node.refused()} packets")


def test_no_name_outside_the_site_is_found(tested: DockerUnderTest, spec: NodeSpec) -> None:
    site, node = tested.substrate.containers("dr"), launched(tested, "dr", spec)
    ask = "import socket; socket.getaddrinfo('server', 80); socket.getaddrinfo('blackstart.example', 80)"
    with site.run(Task("ask", ("python3", "-c", ask), "blackstart", within="server")) as running:
        done = running.finish(60)
    assert (done.code, "line 1" in done.errors) == (1, True)
    assert "gaierror" in done.errors
    assert node.refused()  # its queries found no way out


def test_the_range_of_addresses_that_another_run_took_is_left_to_it(tested: DockerUnderTest) -> None:
    taken: list[Network] = []

    def create(ipam: IPAMConfig | None) -> Network:
        if ipam and not taken:  # the other run is quicker
            taken.append(engine().networks.create("blackstart-test-quicker", ipam=ipam))
        return engine().networks.create("blackstart-test-slower", ipam=ipam, labels=tested.substrate.owned.labels("dr"))

    try:
        made = closed(create)
        assert nobody_of(made) != nobody_of(taken[0])
    finally:
        for one in taken:
            one.remove()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ip: A\nIp: 1\nIcmp: InMsgs\nIcmp: 0\n", 0),
        ("Icmp: InMsgs\nIcmp: 7\nIcmpMsg: InType3 OutType3\nIcmpMsg: 5 4\n", 4),
        ("Icmp: InMsgs\nIcmp: 7\nIcmpMsg: OutType8\nIcmpMsg: 5\n", 0),
        ("cat: no such file", None),
        ("", None),
    ],
)
def test_refused_packets_are_read_from_the_kernels_counters(text: str, found: int | None) -> None:
    assert refused(text) == found
