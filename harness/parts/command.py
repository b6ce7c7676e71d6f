"""Commands of set-up, run to their end with the exit code checked."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.errors import HarnessError, TookTooLong

_LAST_LINES = 6
_PYTHON_VARIABLES = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a set-up command: the current one plus `more`, without variables of this Python."""
    kept = {name: value for name, value in os.environ.items() if name not in _PYTHON_VARIABLES}
    return {**kept, **more}


def run(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, patience: float) -> str:
    """Run `argv` and return its standard output. Raises HarnessError with its last lines, TookTooLong when killed."""
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
        raise HarnessError(f"{shown}: exit code {done.returncode}: {' | '.join(said) or 'no output'}")
    return done.stdout


def pipe(first: Sequence[str], second: Sequence[str], *, patience: float) -> None:
    """Run `first | second`. Raises HarnessError when an exit code is not 0, TookTooLong after `patience` seconds."""
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
