"""One drill at a time for a target: a flock(2) that names its owner, and that the kernel ends with its process."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Refused
from harness.estate.config import Config
from harness.parts.cache import cache_home

DIGITS = 16


def dr_target(config: Config) -> str:
    """Return the name by which restore tests, and what clears after them, hold the declared DR site."""
    site = config.existing.dr if config.existing is not None else None
    return f"the DR site with {', '.join(map(str, site.sql.addresses)) if site else 'no database'}"


@contextmanager
def alone_at(target: str, owner: str) -> Iterator[None]:
    """Hold `target` for `owner` inside the block. Raises Refused, naming the process that holds it already.

    The lock is known on this machine, to every user of one cache. What a killed process held is free.
    """
    file = cache_home() / "targets" / f"{hashlib.sha256(target.encode()).hexdigest()[:DIGITS]}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = file.open("a+", encoding="utf-8")
    except OSError as error:
        raise HarnessError(f"{file}: cannot be written ({error.strerror}); name another BLACKSTART_CACHE") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{target} is in use by {_holder(handle)}; nothing was changed; wait for its end") from None
        handle.truncate(0)
        since = SYSTEM.wall().isoformat(timespec="seconds")
        handle.write(json.dumps({"owner": owner, "pid": os.getpid(), "since": since}))
        handle.flush()
        yield


def _holder(handle: IO[str]) -> str:
    handle.seek(0)
    try:
        found = json.loads(handle.read())
        return f"{found['owner']}, process {found['pid']}, since {found['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"  # it has not written its name yet
