"""Starts processes of this machine, journalled, and kills them with all processes that they started."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from harness.core.errors import HarnessError
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.common.logs import open_log
from harness.substrate.embedded.process_tree import Owner, ProcessId, end_all, family, send, stop_all
from harness.substrate.embedded.shared_memory import Segment, SharedFile, remove, unlink
from harness.substrate.embedded.undo_journal import UndoJournal


@cache
def wrapper() -> tuple[str, ...]:
    """Return the prefix of every command: for root, a user namespace in which it runs as nobody.

    PostgreSQL and nginx refuse or avoid root; outside the namespace their files still belong to root. Raises
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
    """A process that was started here, and whatever it starts. `owner`: how its processes are found.

    `segments`, `shared`: its shared memory, as far as it is known. `rows`: ids of the undo journal for all of it.
    """

    process: subprocess.Popen[bytes] = field(repr=False)
    id: ProcessId
    owner: Owner
    journal: UndoJournal = field(repr=False)
    segments: set[Segment] = field(default_factory=set, repr=False)
    shared: set[SharedFile] = field(default_factory=set, repr=False)
    rows: list[str] = field(default_factory=list, repr=False)

    @property
    def alive(self) -> bool:
        """Whether the process itself exists, frozen or not."""
        return self.process.poll() is None

    def end(self) -> None:
        """SIGKILL it and all processes that it started, also those that outlived it. Raises TookTooLong."""
        end_all({self.id}, self.owner)
        self.collect()

    def collect(self) -> None:
        """Wait for the process after all of them were killed, and remove shared memory that it left earlier."""
        self.process.wait()
        remove(self.segments)
        unlink(self.shared)
        rows, self.rows = self.rows, []
        self.journal.undone(*rows)

    def note_memory(self, segments: set[Segment], shared: set[SharedFile]) -> None:
        """Keep and journal its shared memory."""
        self.segments, self.shared = segments, shared
        self.rows += self.journal.note_memory(segments, shared)

    def end_with(self, home: Path) -> None:
        """End it, and remove the folder of its files, which may hold secrets. Raises HarnessError."""
        try:
            self.end()
        finally:
            remove_tree(home)

    def freeze(self) -> None:
        """SIGSTOP it and all processes that it started."""
        stop_all({self.id}, self.owner)

    def thaw(self) -> None:
        """SIGCONT it and all processes that it started."""
        send(family({self.id}, self.owner), signal.SIGCONT)


def spawn(
    argv: Sequence[str],
    env: dict[str, str],
    cwd: Path,
    journal: UndoJournal,
    owner: Owner,
    log: Path | None,
    prefix: Sequence[str] | None = None,
) -> Child:
    """Start a process in a session of its own, journalled before and after; with `log`, its output goes there.

    `prefix`: what goes before its command, by default `wrapper()`. Raises HarnessError when it cannot be started.
    """
    site, _, name = owner.name.partition("/")
    if shutil.which(argv[0], path=env["PATH"]) is None:
        raise HarnessError(f"{name} on {site}: {argv[0]} is not a program here; run `blackstart doctor`")
    row = journal.intend(site, name, argv[0])
    command, env = [*(wrapper() if prefix is None else prefix), *argv], env | owner.tags
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
        return Child(process, journal.began(process.pid, row), owner, journal, rows=[row])
    except HarnessError:
        process.kill()
        process.wait()
        raise
