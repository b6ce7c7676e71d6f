"""Process trees of this machine, read from proc(5): which processes belong to a node, stopping and killing all of them.

No single criterion finds them all: children of PostgreSQL have sessions of their own, nginx and PostgreSQL write their
title over their environment, and an orphan has lost its parent. So descent, session and a tag in the environment are
used together.
"""

import os
import signal
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.clock import NotYet, wait_until
from harness.patience import PATIENCE
from harness.substrate.embedded import shared_memory

PROC = Path("/proc")
RUN_TAG = "BLACKSTART_RUN"  # variable in the environment of every process: the run folder
NODE_TAG = "BLACKSTART_NODE"  # likewise: `site/node` or `site/task-number`


@dataclass(frozen=True, slots=True)
class ProcessId:
    """Unique identity of a process of this boot: its number, which is reused, and the clock ticks at its start."""

    pid: int
    ticks: int


@dataclass(frozen=True, slots=True)
class ProcessState:
    """State of a process at one moment: `state` is the letter of proc(5)."""

    id: ProcessId
    parent: int
    session: int
    state: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Owner of processes: a whole run, one site of it (`primary/`) or one node (`primary/postgres`)."""

    run: Path
    name: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """The environment variables by which its processes are found."""
        return {RUN_TAG: str(self.run), NODE_TAG: self.name}

    def owns(self, pid: int) -> bool:
        """Return whether the environment of a process has the tags of this owner."""
        entries = _read(pid, "environ").split(b"\0")
        if os.fsencode(f"{RUN_TAG}={self.run}") not in entries:
            return False
        name = os.fsencode(f"{NODE_TAG}={self.name}")
        whole = not self.name or self.name.endswith("/")
        return any(entry.startswith(name) if whole else entry == name for entry in entries) or not self.name


def _read(pid: int, name: str) -> bytes:
    """Return the content of a file of proc(5); nothing when the process is gone, or may not be read by this user."""
    # Read for every process of the machine at every kill: pathlib would take four times as long.
    try:
        file = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
    except OSError:
        return b""
    try:
        return b"".join(iter(lambda: os.read(file, 65536), b""))
    except OSError:
        return b""
    finally:
        os.close(file)


def look(pid: int) -> ProcessState | None:
    """Return the state of a process, None when there is none. Fields 3, 4, 6 and 22 of proc(5)'s stat."""
    raw = _read(pid, "stat")
    if not raw:
        return None
    # The name before the last parenthesis may contain blanks and parentheses.
    fields = raw[raw.rindex(b")") + 2 :].split()
    return ProcessState(ProcessId(pid, int(fields[19])), int(fields[1]), int(fields[3]), fields[0].decode())


def alive(process: ProcessId) -> bool:
    """Return whether a process still runs. A zombie does only while one of its threads does."""
    seen = look(process.pid)
    if seen is None or seen.id != process:
        return False
    if seen.state not in "ZX":
        return True
    try:
        return sum(1 for _ in (PROC / str(process.pid) / "task").iterdir()) > 1
    except OSError:
        return False


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return (PROC / str(pid) / "cwd").readlink().is_relative_to(folder)
    except OSError:
        return False


def _own_line(table: dict[int, ProcessState]) -> set[int]:
    """Return this process and its ancestors, which are never signalled."""
    line, pid = set(), os.getpid()
    while pid in table and pid not in line:
        line.add(pid)
        pid = table[pid].parent
    return line


def family(leaders: Collection[ProcessId], owner: Owner) -> set[ProcessId]:
    """Return the living processes of `owner`: session leaders, their sessions, tagged processes, and all descendants.

    A session counts only for a process whose working folder is in the run folder: its number may have been reused.
    """
    seen = (look(int(entry.name)) for entry in os.scandir(PROC) if entry.name.isdigit())
    table = {s.id.pid: s for s in seen if s is not None and s.session}  # kernel threads have none
    sessions, spared = {leader.pid for leader in leaders}, _own_line(table)
    found = {
        pid
        for pid, s in table.items()
        if s.id in leaders or (s.session in sessions and _works_in(pid, owner.run)) or owner.owns(pid)
    } - spared
    children: dict[int, list[int]] = {}
    for pid, s in table.items():
        children.setdefault(s.parent, []).append(pid)
    waiting = list(found)
    while waiting:
        born = set(children.get(waiting.pop(), ())) - found - spared
        found |= born
        waiting.extend(born)
    return {table[pid].id for pid in found if alive(table[pid].id)}


def send(processes: Iterable[ProcessId], number: signal.Signals) -> None:
    """Send a signal to each process that still runs and that this user may signal."""
    for process in processes:
        if alive(process):
            try:
                os.kill(process.pid, number)
            except (ProcessLookupError, PermissionError):
                continue  # ended meanwhile; one of another user is named by the wait for its end


def stop_all(leaders: Collection[ProcessId], owner: Owner) -> set[ProcessId]:
    """SIGSTOP all processes of an owner and return them; repeated until no new one is found: stopped ones fork none."""
    reached: set[ProcessId] = set()
    while new := family(leaders, owner) - reached:
        send(new, signal.SIGSTOP)
        reached |= new
    return reached


def end_all(leaders: Collection[ProcessId], owner: Owner) -> int:
    """SIGKILL all processes of an owner and wait until they are gone; return their number. Raises TookTooLong.

    Their shared memory is removed, unless another process uses it.
    """
    doomed = stop_all(leaders, owner)
    pids = [process.pid for process in doomed]
    segments, files = shared_memory.attached(pids), shared_memory.mapped(pids)
    send(doomed, signal.SIGKILL)
    wait_until(lambda: _require_gone(doomed), patience=PATIENCE.process_gone, every=0.002, what="ending processes")
    shared_memory.remove(segments)
    shared_memory.unlink(files)
    return len(doomed)


def _require_gone(processes: Iterable[ProcessId]) -> None:
    for process in processes:
        if alive(process):
            raise NotYet(f"process {process.pid} still runs; end it by hand")


def boot() -> str:
    """Return the kernel's id of this boot: the ticks of a process of another boot mean nothing."""
    return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
