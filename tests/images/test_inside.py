"""Output of commands in containers, with a relay that delays the engine's answers so that they arrive together."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from harness.images.engine import SOCKET, engine
from harness.images.find import reference
from harness.images.inside import GATE, execute

pytestmark = pytest.mark.engine

QUIET = 3.0  # seconds, more than a command takes on a busy machine


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    made = engine().containers.run(reference("nginx"), entrypoint=["sleep"], command=["300"], detach=True)
    yield made
    made.remove(force=True)


@pytest.fixture
def behind(tmp_path: Path, container: Container) -> Iterator[Container]:
    """The container through the delaying relay."""
    path = tmp_path / "late.sock"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()
        threading.Thread(target=serve, args=(door,), daemon=True).start()
        client = docker.DockerClient(base_url=f"unix://{path}", version="auto")
        yield client.containers.get(container.id)
        client.close()


def serve(door: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed at the end
        while True:
            client, _ = door.accept()
            threading.Thread(target=relay, args=(client,), daemon=True).start()


def relay(client: socket.socket) -> None:
    """Forward everything at once, except the answer to the start of a command, delayed until it is complete."""
    held, late = b"", False
    with client, socket.socket(socket.AF_UNIX) as there, contextlib.suppress(OSError):
        there.connect(SOCKET)
        listening = [there, client]
        while True:
            ready, _, _ = select.select(listening, [], [], QUIET if late else 0.05)
            if client in ready:
                asked = client.recv(1 << 16)
                late = late or (b"/exec/" in asked and b"/start " in asked)
                if asked:
                    there.sendall(asked)
                else:
                    there.shutdown(socket.SHUT_WR)
                    listening.remove(client)
            if there in ready:
                said = there.recv(1 << 16)
                held += said
                if not said:
                    break
            if not ready or not late:
                client.sendall(held)
                held = b""
        client.sendall(held)


def test_no_output_of_a_command_is_lost(behind: Container) -> None:
    assert execute(behind, ["echo", "quick"]) == (0, b"quick\n")


def test_docker_py_alone_loses_output(behind: Container) -> None:
    """The reason for GATE. When this test fails, docker-py is fixed and GATE can be removed."""
    assert behind.exec_run(["echo", "quick"]).output != b"quick\n"


def test_exit_code_user_and_environment_are_passed_on(container: Container) -> None:
    words = ["sh", "-c", 'echo "$(id -u) $ONE"; cat; echo wrong >&2; exit 7']
    code, said = execute(container, words, user="4711:4711", env={"ONE": "1"})
    # Two pipes of the engine: which of them is read first is not said.
    assert (code, sorted(said.splitlines())) == (7, [b"4711 1", b"wrong"])


def test_a_command_does_not_run_without_its_gate(container: Container) -> None:
    assert container.exec_run(["sh", "-c", GATE, "sh", "true"]).exit_code == 1
