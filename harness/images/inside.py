"""Commands in a container that runs, nothing of whose output is lost."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from docker.models.containers import Container
from docker.utils.socket import frames_iter

# docker-py reads the head of the engine's answer through a buffer, and what follows it past that buffer: when both have
# come before it looks, as on a busy machine, the first words of a command are lost (docker-py's issue 2042). So the
# command waits for a line, and gets it once the head was read.
GATE = 'read -r _ && exec "$@"'


def begin(
    container: Container, argv: Sequence[str], *, user: str = "", env: Mapping[str, str] | None = None
) -> tuple[str, Any]:
    """Start a command in a running container that has `sh`.

    Returns the engine's identifier of it, and the engine's side of its streams as docker-py has it: what is written to
    it is standard input. `user`: "" is the container's own. Raises one of REFUSALS.
    """
    api = container.client.api
    gated = ["sh", "-c", GATE, "sh", *argv]
    made = api.exec_create(container.id, gated, stdin=True, user=user, environment=dict(env or {}))["Id"]
    stream = api.exec_start(made, socket=True)
    try:
        input_of(stream).sendall(b"\n")
    except BaseException:
        close(stream)
        raise
    return made, stream


def input_of(stream: Any) -> socket.socket:
    """Return the socket of such a stream, which is for writing."""
    found: socket.socket = getattr(stream, "_sock", stream)
    return found


def close(stream: Any) -> None:
    """Close such a stream and the connection under it, which docker-py leaves open."""
    input_of(stream).close()
    stream.close()


def execute(
    container: Container, argv: Sequence[str], *, user: str = "", env: Mapping[str, str] | None = None
) -> tuple[int | None, bytes]:
    """Run a command in a running container that has `sh`, with no standard input.

    Returns its exit code, None where the engine does not know it yet, and all that it wrote to both streams. Raises
    one of REFUSALS.
    """
    made, stream = begin(container, argv, user=user, env=env)
    try:
        input_of(stream).shutdown(socket.SHUT_WR)
        said = b"".join(data for _, data in frames_iter(stream, tty=False))
    finally:
        close(stream)
    return container.client.api.exec_inspect(made)["ExitCode"], said
