"""Whether a node answers, as its spec says how to ask."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.core.node import Address

CONNECT, ANSWER, COMMAND = 2.0, 5.0, 10.0  # seconds that one try may take


class NotReady(Exception):  # noqa: N818 - it is a state, and never leaves this package
    """The node does not answer yet."""


UNANSWERED = (NotReady, OSError, http.client.HTTPException)  # what is worth another try


def probe(address: Address, path: str, status: int) -> None:
    """Connect, and with a path ask for it by HTTP; raises one of UNANSWERED."""
    if not path:
        with socket.create_connection((address.host, address.port), timeout=CONNECT):
            return
    connection = http.client.HTTPConnection(address.host, address.port, timeout=ANSWER)
    try:
        connection.request("GET", path)
        found = connection.getresponse().status
    finally:
        connection.close()
    if found != status:
        raise NotReady(f"{path} answers {found}, not {status}")


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
