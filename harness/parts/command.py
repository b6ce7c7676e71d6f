"""Running one command to its end, with its exit code looked at."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError, TookTooLong

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LAST_LINES = 6
_OURS_ALONE = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a set-up command: ours, without what would bend another Python, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS_ALONE}
    return {**kept, **more}


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    patience: float,
) -> str:
    """Run `argv` and return what it wrote to standard output.

    `env` is the whole environment, ours when None; `patience` is in seconds. Raises HarnessError with the last
    lines of standard error when the command cannot be started or ends with another code than 0, and TookTooLong
    when patience ends (the command is killed then).
    """
    name = argv[0].rsplit("/", 1)[-1]
    shown = " ".join([name, *argv[1:3]])
    try:
        done = subprocess.run(
            list(argv), cwd=cwd, env=env, timeout=patience, capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TookTooLong(f"{shown}: not done within {patience:g} s") from error
    except OSError as error:
        raise HarnessError(f"{shown}: cannot be started: {error.strerror}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-_LAST_LINES:]
        raise HarnessError(f"{shown}: exit code {done.returncode}: {' | '.join(said) or 'it said nothing'}")
    return done.stdout


def pipe(first: Sequence[str], second: Sequence[str], *, patience: float) -> None:
    """Run `first | second`. Raises HarnessError when either ends with another code than 0, or on `patience` seconds."""
    with subprocess.Popen(list(first), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        try:
            done = subprocess.run(
                list(second), stdin=source.stdout, capture_output=True, text=True, timeout=patience, check=False
            )
        except subprocess.TimeoutExpired as error:
            source.kill()
            raise TookTooLong(f"{first[0]} | {second[0]}: not done within {patience:g} s") from error
    if source.returncode != 0 or done.returncode != 0:
        said = done.stderr.strip().splitlines()[-_LAST_LINES:]
        raise HarnessError(
            f"{first[0]} | {second[0]}: exit codes {source.returncode}, {done.returncode}: {' | '.join(said)}"
        )
