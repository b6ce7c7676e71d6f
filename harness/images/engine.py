"""The container engine of this machine, and whether it can be used."""

from __future__ import annotations

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
# What the engine, the way to it, or a disk of ours refuses with: requests' errors are OSErrors, and urllib3's come bare
# out of answers that are streamed.
REFUSALS = (DockerException, OSError, HTTPError)
ROOM = "make room"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_REMEDIES = (  # what is said -> what helps; the first that fits
    ("no space left|quota exceeded", f"{ROOM} on the engine's disk, e.g. with `docker system prune`"),
    ("toomanyrequests|too many requests|rate limit", "`docker login`, or try again later"),
    ("dial |lookup |no route|unreachable|i/o timeout|tls handshake|x509|proxyconnect|request canceled|deadline",
     "see that the engine reaches the registry"),
    (r"\btimed out",
     f"no answer for {PATIENCE.engine_answer:g} s: see whether the engine or its disk hangs, and try again"),
    ("connection refused|connection aborted|remote end closed|broken pipe", "is the engine still running?"),
)  # fmt: skip


@cache
def engine() -> docker.DockerClient:
    """Return the client of the engine at $DOCKER_HOST, else of the default socket; the same one every time.

    Raises MissingPart, in one line, when none answers (how to install one) or this user may not ask it (which group).
    """
    where = os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}"
    try:
        _knock(where)  # the client library leaves a socket open where nobody answers, and words no reason
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
    """Return what the engine says of itself (`GET /info` of its API). Raises HarnessError, MissingPart."""
    with explained("container engine"):
        return dict(engine().info())


def require_room(needed: int) -> None:
    """Do nothing where the engine's disk has `needed` bytes free, or where this user cannot see that disk.

    Raises HarnessError when it has not, MissingPart when there is no engine.
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
    """Return in one line why one of REFUSALS came, and what helps where that is known."""
    if isinstance(error, OSError) and error.errno:  # of a disk of ours: the engine's own carry no number
        where = f" ({error.filename})" if error.filename else ""
        remedy = f"; {ROOM} on the disk of the cache and of $TMPDIR" if error.errno in _FULL else ""
        remedy = "; is this user to write there?" if error.errno in _FORBIDDEN else remedy
        return f"{error.strerror}{where}{remedy}"
    said = " ".join(str(getattr(error, "explanation", None) or error).split()) or type(error).__name__
    return next((f"{said}; {remedy}" for words, remedy in _REMEDIES if re.search(words, said, re.IGNORECASE)), said)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn a refusal of the engine or of a disk into one line that names `what`. Raises HarnessError."""
    try:
        yield
    except REFUSALS as error:
        raise HarnessError(f"{what}: {reason(error)}") from None


def _knock(where: str) -> None:
    """Connect to the engine's socket, if it is one of this machine or of the network; raises OSError."""
    url = urlsplit(where)
    if url.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(PATIENCE.engine_connect)
            one.connect(url.path)
    elif url.scheme == "tcp" and url.hostname:
        with socket.create_connection((url.hostname, url.port or 2375), timeout=PATIENCE.engine_connect):
            pass
