"""Client of this machine's container engine, and explanations of its errors."""

import errno
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException
from urllib3.exceptions import HTTPError

from harness.core.errors import HarnessError, MissingPart
from harness.patience import PATIENCE

SOCKET = "/var/run/docker.sock"
INSTALL = "install Docker Engine, e.g. `apt-get install docker.io`, and start it"
GIB = 1 << 30
# Errors of the engine, the connection to it, and local disks. Errors of requests are OSErrors; those of urllib3 are
# raised directly while an answer is streamed.
REFUSALS = (DockerException, OSError, HTTPError)
ROOM = "make room"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_REMEDIES = (  # pattern of the message -> remedy; the first match is used
    ("no space left|quota exceeded", f"{ROOM} on the engine's disk, e.g. with `docker system prune`"),
    ("toomanyrequests|too many requests|rate limit", "`docker login`, or try again later"),
    ("dial |lookup |no route|unreachable|i/o timeout|tls handshake|x509|proxyconnect|request canceled|deadline",
     "check the engine's connection to the registry"),
    (r"\btimed out",
     f"no answer for {PATIENCE.engine_answer:g} s; check whether the engine or its disk hangs, and try again"),
    ("connection refused|connection aborted|remote end closed|broken pipe", "is the engine still running?"),
)  # fmt: skip


@cache
def engine() -> docker.DockerClient:
    """Return the cached client of the engine at $DOCKER_HOST or the usual socket. Raises MissingPart with a remedy."""
    where = os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}"
    try:
        _knock(where)  # the client library leaves a socket open if there is no answer, and gives no reason
        client = docker.from_env(version="auto", timeout=PATIENCE.engine_answer)
    except PermissionError as error:
        raise MissingPart(
            f"no permission to use the container engine at {where.removeprefix('unix://')}: "
            "`sudo usermod -aG docker $USER`, then log in again, or run as root"
        ) from error
    except (DockerException, OSError) as error:
        said = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise MissingPart(f"no container engine answers at {where} ({said}): {INSTALL}") from error
    return client


def information() -> dict[str, Any]:
    """Return information about the engine (`GET /info` of its API). Raises HarnessError, MissingPart."""
    with explained("container engine"):
        return dict(engine().info())


def require_room(needed: int) -> None:
    """Raise HarnessError when the engine's disk has less than `needed` bytes free, MissingPart without an engine.

    If this user cannot access that disk, nothing is checked.
    """
    root = Path(str(information().get("DockerRootDir", "")))
    try:
        free = shutil.disk_usage(root).free
    except OSError:  # the engine is in a virtual machine, or on another one
        return
    if free < needed:
        raise HarnessError(
            f"container engine: {free / GIB:.1f} GiB free in {root}, {needed / GIB:.1f} GiB needed; "
            f"{ROOM}, e.g. with `docker system prune`"
        )


def reason(error: BaseException) -> str:
    """Return the reason of one of REFUSALS in one line, with a remedy if there is a known one."""
    if isinstance(error, OSError) and error.errno:  # of a local disk; errors of the engine have no number
        where = f" ({error.filename})" if error.filename else ""
        remedy = f"; {ROOM} on the disk of the cache and of $TMPDIR" if error.errno in _FULL else ""
        remedy = "; check this user's permissions" if error.errno in _FORBIDDEN else remedy
        return f"{error.strerror}{where}{remedy}"
    said = " ".join(str(getattr(error, "explanation", None) or error).split()) or type(error).__name__
    return next((f"{said}; {remedy}" for words, remedy in _REMEDIES if re.search(words, said, re.IGNORECASE)), said)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Convert one of REFUSALS into HarnessError: one line that starts with `what`."""
    try:
        yield
    except REFUSALS as error:
        raise HarnessError(f"{what}: {reason(error)}") from None


def _knock(where: str) -> None:
    """Try to connect to the engine's socket, a Unix or a TCP socket; raises OSError."""
    url = urlsplit(where)
    if url.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(PATIENCE.engine_connect)
            one.connect(url.path)
    elif url.scheme == "tcp" and url.hostname:
        with socket.create_connection((url.hostname, url.port or 2375), timeout=PATIENCE.engine_connect):
            pass
