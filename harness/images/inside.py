"""Commands in a running container (`docker exec`), without loss of output."""

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from docker.models.containers import Container
from docker.utils.socket import frames_iter

# docker-py reads the header of the engine's answer through a buffer, and the rest from the socket: output that arrives
# together with the header is lost (docker-py issue 2042). Therefore the command waits for a line on standard input,
# which is sent after the header was read.
GATE = 'read -r _ && exec "$@"'


def begin(
    container: Container, argv: Sequence[str], *, user: str = "", env: Mapping[str, str] | None = None
) -> tuple[str, Any]:
    """Start a command in a running container that has `sh`.

    Return the engine's identifier of the command, and its stream in docker-py's form; data written to the stream is
    the standard input. `user`: "" for the container's user. Raises one of REFUSALS.
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
    """Return the socket of a stream, for writing."""
    found: socket.socket = getattr(stream, "_sock", stream)
    return found


def close(stream: Any) -> None:
    """Close a stream and its connection, which docker-py leaves open."""
    input_of(stream).close()
    stream.close()


def execute(
    container: Container, argv: Sequence[str], *, user: str = "", env: Mapping[str, str] | None = None
) -> tuple[int | None, bytes]:
    """Run a command in a running container that has `sh`, without standard input.

    Return its exit code, None if the engine does not know it yet, and its output on both streams. Raises one of
    REFUSALS.
    """
    made, stream = begin(container, argv, user=user, env=env)
    try:
        input_of(stream).shutdown(socket.SHUT_WR)
        said = b"".join(data for _, data in frames_iter(stream, tty=False))
    finally:
        close(stream)
    return container.client.api.exec_inspect(made)["ExitCode"], said
