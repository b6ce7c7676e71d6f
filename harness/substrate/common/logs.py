"""Log files of nodes and tasks: mode 0600, and their last lines for error messages."""

import contextlib
from pathlib import Path
from typing import IO

from harness.substrate.common.filesystem import make_folder

SHOWN = 5  # lines of a log shown in an error
END = 1 << 16  # bytes of a log that are read from its end


def log_file(logs: Path, name: str) -> Path:
    """Return the path of the log of a node or task; its folder is created."""
    return make_folder(logs) / f"{name}.log"


def tail(log: Path) -> tuple[str, ...]:
    """Return the last lines of a log, without empty ones and spaces around them; none where it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - END))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(line.strip() for line in lines if line.strip())


def last_lines(log: Path) -> str:
    """Return the last lines of a log, joined into one line."""
    # The frames of a stack trace say less to an operator than the error above them.
    said = [line for line in tail(log) if not line.startswith("at ")]
    return " | ".join(said[-SHOWN:]) or "no log"


def open_log(log: Path) -> IO[bytes]:
    """Open a log to append to, mode 0600: output may be as private as the data."""
    log.touch(mode=0o600)
    return log.open("ab", buffering=0)


def pass_on(out: IO[bytes], data: bytes) -> None:
    """Write all of `data` to an unbuffered pipe; discard it once the pipe has no reader any more."""
    left = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while left:
            left = left[out.write(left) :]
