"""Starts processes of this machine, journalled, and ends them with all that they started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from harness.core.errors import HarnessError
from harness.substrate.common.logs import open_log
from harness.substrate.embedded.process_tree import Known, Owner, end_all, family, send, stop_all
from harness.substrate.embedded.start_journal import Started


@cache
def wrapper() -> tuple[str, ...]:
    """Return what goes before every command: as root, a user namespace in which we are nobody.

    PostgreSQL and nginx refuse or avoid root; in the namespace files still belong to root outside it. Raises
    HarnessError where the kernel allows no user namespace.
    """
    if os.getuid() != 0:
        return ()
    prefix = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--")
    try:
        tried = subprocess.run([*prefix, "true"], check=False, capture_output=True)
    except OSError as error:
        raise HarnessError(f"running as root needs unshare ({error.strerror}); run as an ordinary user") from None
    if tried.returncode:
        raise HarnessError("running as root needs user namespaces, which are off here; run as an ordinary user")
    return prefix


@dataclass(slots=True)
class Child:
    """A process that was started here, with all it starts: what they are found by, and how they are ended."""

    process: subprocess.Popen[bytes] = field(repr=False)
    known: Known
    owner: Owner

    @property
    def alive(self) -> bool:
        """Whether the process itself exists, frozen or not."""
        return self.process.poll() is None

    def end(self) -> None:
        """Kill it and all it started, also what outlived it; collect it. Raises TookTooLong."""
        end_all({self.known}, self.owner)
        self.process.wait()

    def freeze(self) -> None:
        """Stop it and all it started in mid-thought."""
        stop_all({self.known}, self.owner)

    def thaw(self) -> None:
        """Let them go on."""
        send(family({self.known}, self.owner), signal.SIGCONT)


def spawn(
    argv: tuple[str, ...], env: dict[str, str], cwd: Path, started: Started, owner: Owner, log: Path | None
) -> Child:
    """Start a process in a session of its own, journalled before and after; with `log`, its output goes there.

    Raises HarnessError when the program cannot be started.
    """
    site, _, name = owner.name.partition("/")
    if shutil.which(argv[0], path=env["PATH"]) is None:
        raise HarnessError(f"{name} on {site}: {argv[0]} is not a program here; run `blackstart doctor`")
    started.intend(site, name, argv[0])
    command = [*wrapper(), *argv]
    try:
        if log is None:
            process = subprocess.Popen(
                command, env=env, cwd=cwd, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        else:
            with open_log(log) as out:
                process = subprocess.Popen(
                    command, env=env, cwd=cwd, start_new_session=True,
                    stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                )  # fmt: skip
    except OSError as error:
        raise HarnessError(f"{name} on {site}: {argv[0]} cannot be started ({error.strerror})") from None
    try:
        return Child(process, started.began(process.pid), owner)
    except HarnessError:
        process.kill()
        process.wait()
        raise
