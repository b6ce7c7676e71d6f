"""Small programs that run on each substrate, and helpers that observe them from outside."""

from __future__ import annotations

import itertools
import socket
import sys
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from harness.core.node import Address, Node, NodeSpec, Ready, Substrate, Task
from harness.images.engine import engine
from harness.substrate.docker.node import ContainerNode
from harness.substrate.docker.ownership import RUN
from harness.substrate.docker.substrate import Docker
from harness.substrate.embedded.node import ProcessNode
from harness.substrate.embedded.process_tree import Owner, family
from harness.substrate.embedded.substrate import Embedded
from tests.substrate.fake import Call, Fake, FakeNode, Outcome

SERVER = """
import hashlib, os, pathlib, socket, sys
host, port, conf = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3]).read_bytes()
digests = [hashlib.sha256(x).hexdigest() for x in (os.environ["TOKEN"].encode(), conf)]
start = os.urandom(4).hex()
print("serving", flush=True)
with socket.create_server((host, port)) as listener:
    while True:
        client, _ = listener.accept()
        try:
            with client:
                client.sendall(" ".join((*digests, start)).encode())
        except OSError:
            pass
"""
DYING = "import sys; print('going up'); print('last words'); sys.exit(3)"
SAY = """
import sys
sys.stdout.buffer.write(sys.stdin.buffer.read())
print("warned", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""
LASTING = """
import subprocess, sys
children = [subprocess.Popen(["sleep", "300"], start_new_session=own) for own in (False, True)]
print("up", flush=True)
children[0].wait()
"""
POURING = """
import sys
print("up", flush=True)
while True:
    sys.stdout.buffer.write(bytes(1 << 16))
"""
PEER = """
import pathlib, socket, sys
said = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5).recv(1000)
pathlib.Path(sys.argv[3], "seen").write_bytes(said)
"""
SCRIPTS = {"server": SERVER, "dying": DYING, "say": SAY, "lasting": LASTING, "pouring": POURING, "peer": PEER}

STARTS = itertools.count()


def python(script: str, *args: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", script, *args)


def serve(call: Call) -> Outcome:
    digests = [sha256(text.encode()).hexdigest() for text in (call.env["TOKEN"], call.files["conf"])]
    return Outcome(errors="serving\n", answer=" ".join((*digests, str(next(STARTS)))).encode())


def ask_peer(call: Call) -> Outcome:
    _, host, port, _ = call.argv
    assert call.site is not None
    for node in call.site.nodes:
        if Address(host, int(port)) == node.endpoint("talk").inside and node.outcome is not None:
            with call.volumes["data"].open("seen", "wb") as file:
                file.write(node.outcome.answer)
            return Outcome(0)
    return Outcome(1, errors="connection refused")


PROGRAMS = {
    "server": serve,
    "dying": lambda _: Outcome(3, errors="going up\nlast words\n"),
    "say": lambda call: Outcome(int(call.argv[1]), call.stdin, "warned"),
    "lasting": lambda _: Outcome(stdout=b"up\n"),
    "pouring": lambda _: Outcome(stdout=b"up\n"),
    "peer": ask_peer,
}


class SubstrateUnderTest(Protocol):
    """A substrate on which the conformance suite runs."""

    @property
    def substrate(self) -> Substrate: ...

    @property
    def image(self) -> str: ...

    def argv(self, program: str, *args: str) -> tuple[str, ...]: ...

    def ask(self, node: Node) -> bytes: ...

    def log(self, name: str) -> str: ...

    def living(self) -> int: ...


@dataclass(frozen=True)
class EmbeddedUnderTest:
    substrate: Embedded
    image: str = ""

    def argv(self, program: str, *args: str) -> tuple[str, ...]:
        return python(SCRIPTS[program], *args)

    def ask(self, node: Node) -> bytes:
        address = node.endpoint("talk").outside
        with socket.create_connection((address.host, address.port), timeout=2) as connection:
            return connection.recv(1000)

    def log(self, name: str) -> str:
        return (self.substrate.logs / f"{name}.log").read_text()

    def living(self) -> int:
        return len(family(set(), Owner(self.substrate.run)))


@dataclass(frozen=True)
class FakeUnderTest:
    substrate: Fake
    image: str = ""

    def argv(self, program: str, *args: str) -> tuple[str, ...]:
        return (program, *args)

    def ask(self, node: Node) -> bytes:
        assert isinstance(node, FakeNode)
        return node.ask()

    def log(self, name: str) -> str:
        return "\n".join(self.substrate.logs[name])

    def living(self) -> int:
        sites = self.substrate.sites.values()
        nodes = sum(node.alive for site in sites for node in site.nodes)
        return nodes + sum(not task.ended for site in sites for task in site.tasks)


@dataclass(frozen=True)
class DockerUnderTest:
    substrate: Docker
    image: str = "blackstart"

    def argv(self, program: str, *args: str) -> tuple[str, ...]:
        return ("python3", "-I", "-S", "-c", SCRIPTS[program], *args)

    def ask(self, node: Node) -> bytes:
        return said_by(node)

    def log(self, name: str) -> str:
        return (self.substrate.logs / f"{name}.log").read_text()

    def living(self) -> int:
        labels = [f"{RUN}={self.substrate.run}"]
        running = engine().containers.list(filters={"label": labels}, ignore_removed=True)
        return sum("-agent-" not in container.name for container in running)


def said_by(node: Node) -> bytes:
    """Return the answer over loopback; a proxy without a server behind it may accept the connection and close it."""
    address = node.endpoint("talk").outside
    with socket.create_connection((address.host, address.port), timeout=3) as connection:  # the machine may be busy
        if answer := connection.recv(1000):
            return answer
        raise ConnectionRefusedError


def server(tested: SubstrateUnderTest, token: Path, name: str = "server") -> NodeSpec:
    argv = tested.argv("server", "@{bind:talk}", "@{port:talk}", "@{file:conf}")
    return NodeSpec(
        name,
        argv,
        tested.image,
        ports=("talk",),
        volumes=("data",),
        env={"TOKEN": "@{secret:token}"},
        secrets={"token": f"file:{token}"},
        files={"conf": "token=@{secret:token}"},
        ready=Ready(port="talk", patience=20),
    )


def peer(tested: SubstrateUnderTest, to: Node) -> Task:
    """Return a task that writes the answer of a node of its site to the file `seen` in the volume `data`."""
    at = to.endpoint("talk").inside
    return replace(task(tested, "peer", at.host, str(at.port), "@{volume:data}"), volumes=("data",))


def task(tested: SubstrateUnderTest, program: str, *args: str, stdin: bytes = b"") -> Task:
    return Task(program, tested.argv(program, *args), tested.image, stdin=stdin)


def launched(tested: DockerUnderTest, site: str, spec: NodeSpec) -> ContainerNode:
    node = tested.substrate.site(site).launch(spec)
    assert isinstance(node, ContainerNode)
    return node


def started(node: Node) -> ProcessNode:
    assert isinstance(node, ProcessNode)
    return node
