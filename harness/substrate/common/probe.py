"""Whether a node answers, as its spec says how to ask."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.core.node import Address

CONNECT, ANSWER, COMMAND = 2.0, 5.0, 10.0  # seconds that one try may take
KEPT = 0.2  # seconds after which a connection through a relay is taken to be the node's own


class NotReady(Exception):  # noqa: N818 - it is a state, and never leaves this package
    """The node does not answer yet."""


UNANSWERED = (NotReady, OSError, http.client.HTTPException)  # what is worth another try


def probe(address: Address, path: str, status: int, *, relayed: bool = False) -> None:
    """Connect, and with a path ask for it by HTTP; raises one of UNANSWERED.

    `relayed`: somebody takes the connection before it is known whether the node does, and then hangs up.
    """
    if not path:
        with socket.create_connection((address.host, address.port), timeout=CONNECT) as taken:
            if relayed:
                _require_kept(taken)
            return
    connection = http.client.HTTPConnection(address.host, address.port, timeout=ANSWER)
    try:
        connection.request("GET", path)
        found = connection.getresponse().status
    finally:
        connection.close()
    if found != status:
        raise NotReady(f"{path} answers {found}, not {status}")


def _require_kept(connection: socket.socket) -> None:
    connection.settimeout(KEPT)
    try:
        if not connection.recv(1):
            raise NotReady("the connection was taken and given up")
    except TimeoutError:
        return  # it waits for us to speak


def ask(command: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> None:
    """Run a command that says by its exit code whether the node is ready; raises NotReady."""
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=COMMAND
        )
    except subprocess.TimeoutExpired:
        raise NotReady(f"the ready command did not end within {COMMAND:g} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise NotReady(f"the ready command ended with code {done.returncode}: {said[-1] if said else 'silent'}")
