"""Whether a node answers, as its spec says how to ask."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.core.clock import NotYet
from harness.core.node import Address
from harness.patience import PATIENCE

KEPT = 0.2  # seconds after which a connection through a relay is taken to be the node's own


UNANSWERED = (NotYet, OSError, http.client.HTTPException)  # what is worth another try


def probe(address: Address, path: str, status: int, *, relayed: bool = False) -> None:
    """Connect, and with a path ask for it by HTTP; raises one of UNANSWERED.

    `relayed`: somebody takes the connection before it is known whether the node does, and then hangs up.
    """
    if not path:
        with socket.create_connection((address.host, address.port), timeout=PATIENCE.probe_connect) as taken:
            if relayed:
                _require_kept(taken)
            return
    connection = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE.probe_answer)
    try:
        connection.request("GET", path)
        found = connection.getresponse().status
    finally:
        connection.close()
    if found != status:
        raise NotYet(f"{path} answers {found}, not {status}")


def _require_kept(connection: socket.socket) -> None:
    connection.settimeout(KEPT)
    try:
        if not connection.recv(1):
            raise NotYet("the connection was taken and given up")
    except TimeoutError:
        return  # it waits for us to speak


def ask(command: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> None:
    """Run a command that says by its exit code whether the node is ready; raises NotYet."""
    try:
        done = subprocess.run(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=PATIENCE.probe_command,
        )
    except subprocess.TimeoutExpired:
        raise NotYet(f"the ready command did not end within {PATIENCE.probe_command:g} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise NotYet(f"the ready command ended with code {done.returncode}: {said[-1] if said else 'silent'}")
