"""Logs of nodes and tasks: private files, their last lines, output passed on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO

TAIL, LINE = 40, 4096  # lines of standard error kept of a task, bytes of each
SHOWN = 5  # lines of a log shown in an error


def last_lines(log: Path, count: int = SHOWN) -> str:
    """Return the last lines of a log, in one line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "no log"
    # A stack trace's frames say less to an operator than the error above them.
    said = [line.strip() for line in lines if line.strip() and not line.strip().startswith("at ")]
    return " | ".join(said[-count:]) or "no log"


def open_log(log: Path) -> IO[bytes]:
    """Open a log to append to, 0600: what programs say may be as private as their data."""
    log.touch(mode=0o600)
    return log.open("ab", buffering=0)


def pass_on(out: IO[bytes], data: bytes) -> None:
    """Write all of `data` to an unbuffered pipe, nothing of it once nobody reads there: the work may still write."""
    left = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while left:
            left = left[out.write(left) :]
