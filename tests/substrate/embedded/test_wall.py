"""The wall of an embedded site: what its programs reach, what clients reach, and what is counted."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.egress import Refused, egress_of
from harness.core.errors import HarnessError
from harness.core.node import Address, NodeSpec, Task
from harness.estate.isolation import admit
from harness.substrate.embedded.isolation.namespaces import obstacle
from harness.substrate.embedded.isolation.wall import Wall
from harness.substrate.embedded.process_tree import Owner, family, look
from harness.substrate.embedded.substrate import Embedded, EmbeddedSite
from tests.substrate.substrates_under_test import EmbeddedUnderTest, server

pytestmark = [
    pytest.mark.programs,
    pytest.mark.skipif(bool(obstacle(walled=True)), reason=f"no network of its own: {obstacle(walled=True)}"),
]
TRY = """
import socket, sys
for where in sys.argv[1:]:
    host, _, port = where.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
        print("reached")
    except OSError as error:
        print(error.errno)
"""
REFUSED, UNREACHABLE = b"111", b"101"


@pytest.fixture
def substrate(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path / "run", tmp_path / "logs", walled=("dr",))
    yield made
    made.sweep()


@pytest.fixture
def spec(substrate: Embedded, token: Path) -> NodeSpec:
    return server(EmbeddedUnderTest(substrate), token)


def tried(site: EmbeddedSite, *where: object) -> list[bytes]:
    with site.run(Task("try", (sys.executable, "-I", "-S", "-c", TRY, *map(str, where)))) as running:
        said = running.stdout.read().split()
        assert running.finish(30).code == 0
    return said


def at(server: socket.socket) -> Address:
    return Address(*server.getsockname()[:2])


def own_address() -> str:
    """Return an address of this machine that is not loopback's; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("192.0.2.1", 9))
        return str(asked.getsockname()[0])


def test_programs_reach_their_site_and_the_receivers_alone(substrate: Embedded, spec: NodeSpec) -> None:
    """What is refused on the walled site is reached from the other one, where nothing keeps programs in."""
    site, other = substrate.site("dr"), substrate.site("primary")
    node, near = site.launch(spec), other.launch(spec)
    peer = node.endpoint("talk").inside
    host = own_address()
    with socket.create_server(("127.0.0.1", 0)) as receiver, socket.create_server((host, 0)) as outside:
        admit(site, {"notifications": f"json://127.0.0.1:{at(receiver).port}/", "mail": "smtp://nowhere"})
        admit(other, {"notifications": f"json://127.0.0.1:{at(receiver).port}/"})
        where = (peer, at(receiver), at(outside), near.endpoint("talk").outside)
        before = egress_of(site)
        assert before is not None
        assert before.refused == (Refused("dr", 0),)
        assert tried(other, *where) == [b"reached"] * 4
        assert tried(site, *where) == [b"reached", b"reached", UNREACHABLE, REFUSED]
        receiver.settimeout(5)
        for _ in range(2):
            receiver.accept()[0].close()
    after = egress_of(site)
    assert after is not None
    assert after.refused == (Refused("dr", 1),)
    assert egress_of(other) is None


def test_a_name_and_a_datagram_are_refused_and_counted(substrate: Embedded) -> None:
    site = substrate.site("dr")
    send = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))"
    ask = "import socket; socket.getaddrinfo('blackstart.example', 80)"
    for program, said in ((send, "unreachable"), (ask, "name resolution")):
        with site.run(Task("try", (sys.executable, "-I", "-c", program))) as running:
            done = running.finish(60)
        assert (done.code, said in done.errors) == (1, True), done.errors
    found = egress_of(site)
    assert found is not None
    assert (found.refused[0].packets or 0) >= 2


def test_clients_are_refused_while_a_node_is_down_and_reach_it_again(substrate: Embedded, spec: NodeSpec) -> None:
    node = substrate.site("dr").launch(spec)
    address = node.endpoint("talk").outside
    assert node.endpoint("talk").inside == address
    for _ in range(2):
        with socket.create_connection((address.host, address.port), 5) as client:
            assert client.recv(1000)
        node.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port), 5)
        node.start()


def test_what_is_asked_before_there_is_a_site_or_after_it_is_lost_is_not_measured(
    substrate: Embedded, spec: NodeSpec
) -> None:
    wall = Wall()
    assert wall.refused() is None
    site = substrate.site("dr")
    assert site.wall is not None
    with pytest.raises(HarnessError, match="start a program on it first"):
        wall.guard(substrate.site("primary").launch(spec))
    site.launch(spec)
    assert site.wall.refused() == 0
    site.destroy()
    assert site.wall.refused() is None
    assert site.launch(spec).alive  # behind a new wall
    assert site.wall.refused() == 0


LOST = """
import sys, time
from pathlib import Path
from harness.core.node import NodeSpec
from harness.substrate.embedded.substrate import Embedded
site = Embedded(Path(sys.argv[1], "run"), Path(sys.argv[1], "logs"), walled=("dr",)).site("dr")
site.launch(NodeSpec("lasting", ("sleep", "300")))
print(site.wall._door.process.pid, flush=True)
time.sleep(300)
"""


def test_a_killed_harness_leaves_nothing_that_a_sweep_does_not_find(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LOST, str(tmp_path)], stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        door = int(harness.stdout.readline())
        harness.send_signal(signal.SIGKILL)
    wait_until(lambda: require_gone(door), patience=10, what="the door ends with its harness")
    Embedded(tmp_path / "run", tmp_path / "logs").sweep()
    assert not family(set(), Owner(tmp_path / "run"))


def require_gone(pid: int) -> None:
    if look(pid) is not None:
        raise NotYet("it runs")
