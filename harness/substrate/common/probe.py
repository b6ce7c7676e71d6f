"""Readiness probes: TCP connect, HTTP GET, exit code of a command."""

import http.client
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.core.clock import NotYet
from harness.core.node import Address
from harness.patience import PATIENCE

KEPT = 0.2  # seconds: a connection through a proxy that is open for so long has reached the node

UNANSWERED = (NotYet, OSError, http.client.HTTPException)  # the probe is repeated after these


def probe(address: Address, path: str, status: int, *, proxied: bool = False) -> None:
    """Connect, and GET `path` unless it is empty: `status` is expected. Raises one of UNANSWERED.

    `proxied`: a proxy accepts the connection first, and closes it when the node does not.
    """
    if not path:
        with socket.create_connection((address.host, address.port), timeout=PATIENCE.probe_connect) as taken:
            if proxied:
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
            raise NotYet("the connection was accepted and closed")
    except TimeoutError:
        return  # the node waits for a request


def ask(command: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> None:
    """Run a command whose exit code says whether the node is ready; raises NotYet unless it is 0."""
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
