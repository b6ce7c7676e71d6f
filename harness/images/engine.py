"""The container engine of this machine, and whether it can be used."""

from __future__ import annotations

import os
import shutil
import socket
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException

from harness.core.errors import HarnessError, MissingPart

SOCKET = "/var/run/docker.sock"
PATIENCE = 300  # seconds for one answer of the engine: it unpacks large layers
KNOCK = 10.0  # seconds for the engine to take a connection
INSTALL = "install Docker Engine, e.g. `apt-get install docker.io`, and start it"
GIB = 1 << 30


@cache
def engine() -> docker.DockerClient:
    """Return the client of the engine at $DOCKER_HOST, else of the default socket; the same one every time.

    Raises MissingPart, in one line, when none answers (how to install one) or this user may not ask it (which group).
    """
    where = os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}"
    try:
        _knock(where)  # the client library leaves a socket open where nobody answers, and words no reason
        client = docker.from_env(version="auto", timeout=PATIENCE)
    except PermissionError as error:
        raise MissingPart(
            f"no permission to use the container engine at {where.removeprefix('unix://')}: "
            "`sudo usermod -aG docker $USER`, then log in again, or run as root"
        ) from error
    except (DockerException, OSError) as error:
        said = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise MissingPart(f"no container engine answers at {where} ({said}): {INSTALL}") from error
    return client


def require_room(needed: int) -> None:
    """Do nothing where the engine's disk has `needed` bytes free, or where this user cannot see that disk.

    Raises HarnessError when it has not, MissingPart when there is no engine.
    """
    root = Path(str(engine().info().get("DockerRootDir", "")))
    try:
        free = shutil.disk_usage(root).free
    except OSError:  # the engine is in a virtual machine, or on another one
        return
    if free < needed:
        raise HarnessError(
            f"container engine: {free / GIB:.1f} GiB free in {root}, {needed / GIB:.1f} GiB needed; "
            "make room, e.g. with `docker system prune`"
        )


def _knock(where: str) -> None:
    """Connect to the engine's socket, if it is one of this machine or of the network; raises OSError."""
    url = urlsplit(where)
    if url.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(KNOCK)
            one.connect(url.path)
    elif url.scheme == "tcp" and url.hostname:
        with socket.create_connection((url.hostname, url.port or 2375), timeout=KNOCK):
            pass
