"""Processes of this machine, as proc(5) shows them: which belong together, and how to end them to the last.

No single way of telling whose a process is finds them all: a child of PostgreSQL has a session of its own, nginx and
PostgreSQL write their title over their environment, and an orphan has lost its parent. So all are used together:
descent, session and the environment's tag.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.clock import NotYet, wait_until
from harness.patience import PATIENCE

PROC = Path("/proc")
RUN_TAG = "BLACKSTART_RUN"  # in the environment of every process: the run folder
NODE_TAG = "BLACKSTART_NODE"  # and what it is: `site/node` or `site/task-number`


@dataclass(frozen=True, slots=True)
class Known:
    """One process for good: a number is used again, the clock ticks from boot to its start are not."""

    pid: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A process as it was seen: `state` is the letter of proc(5)."""

    known: Known
    parent: int
    session: int
    state: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose processes are meant: of a whole run, of a site (`primary/`) or of one node (`primary/postgres`)."""

    run: Path
    name: str = ""

    def owns(self, pid: int) -> bool:
        """Return whether the environment of a process says so."""
        entries = _read(pid, "environ").split(b"\0")
        if os.fsencode(f"{RUN_TAG}={self.run}") not in entries:
            return False
        name = os.fsencode(f"{NODE_TAG}={self.name}")
        whole = not self.name or self.name.endswith("/")
        return any(entry.startswith(name) if whole else entry == name for entry in entries) or not self.name


def _read(pid: int, name: str) -> bytes:
    """Return what a file of proc(5) holds: nothing when the process is gone, or somebody else's."""
    # Read for every process of the machine, whenever one is ended: pathlib would take four times as long.
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


def look(pid: int) -> Seen | None:
    """Return the process of that number, or None when there is none. Fields 3, 4, 6 and 22 of proc(5)'s stat."""
    raw = _read(pid, "stat")
    if not raw:
        return None
    # The name before the last parenthesis may hold anything, blanks and parentheses too.
    fields = raw[raw.rindex(b")") + 2 :].split()
    return Seen(Known(pid, int(fields[19])), int(fields[1]), int(fields[3]), fields[0].decode())


def alive(known: Known) -> bool:
    """Return whether it still runs. A zombie does only while one of its threads does."""
    seen = look(known.pid)
    if seen is None or seen.known != known:
        return False
    if seen.state not in "ZX":
        return True
    try:
        return sum(1 for _ in (PROC / str(known.pid) / "task").iterdir()) > 1
    except OSError:
        return False


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return (PROC / str(pid) / "cwd").readlink().is_relative_to(folder)
    except OSError:
        return False


def _own_line(table: dict[int, Seen]) -> set[int]:
    """Return this process and its ancestors, which nothing here may touch."""
    line, pid = set(), os.getpid()
    while pid in table and pid not in line:
        line.add(pid)
        pid = table[pid].parent
    return line


def family(leaders: Collection[Known], owner: Owner) -> set[Known]:
    """Return the living processes of `owner`: leaders of sessions, all in these sessions, the tagged, all descendants.

    A session counts only for a process that works inside the run folder: its number may have been used again.
    """
    seen = (look(int(entry.name)) for entry in os.scandir(PROC) if entry.name.isdigit())
    table = {s.known.pid: s for s in seen if s is not None and s.session}  # threads of the kernel have none
    sessions, spared = {leader.pid for leader in leaders}, _own_line(table)
    found = {
        pid
        for pid, s in table.items()
        if s.known in leaders or (s.session in sessions and _works_in(pid, owner.run)) or owner.owns(pid)
    } - spared
    children: dict[int, list[int]] = {}
    for pid, s in table.items():
        children.setdefault(s.parent, []).append(pid)
    waiting = list(found)
    while waiting:
        born = set(children.get(waiting.pop(), ())) - found - spared
        found |= born
        waiting.extend(born)
    return {table[pid].known for pid in found if alive(table[pid].known)}


def send(to: Iterable[Known], number: signal.Signals) -> None:
    """Send a signal to each that still lives and may be signalled."""
    for known in to:
        if alive(known):
            try:
                os.kill(known.pid, number)
            except (ProcessLookupError, PermissionError):
                continue  # gone meanwhile; or another user's, and whoever waits for its end will name it


def stop_all(leaders: Collection[Known], owner: Owner) -> set[Known]:
    """Stop a family in mid-thought and return it; none is missed, for what is stopped starts no other."""
    reached: set[Known] = set()
    while new := family(leaders, owner) - reached:
        send(new, signal.SIGSTOP)
        reached |= new
    return reached


def end_all(leaders: Collection[Known], owner: Owner) -> int:
    """Kill a family and wait until it is gone; return how many there were. Raises TookTooLong."""
    doomed = stop_all(leaders, owner)
    send(doomed, signal.SIGKILL)
    wait_until(
        lambda: _require_gone(doomed),
        patience=PATIENCE.process_gone,
        on=NotYet,
        every=0.002,
        what="ending processes",
    )
    return len(doomed)


def _require_gone(processes: Iterable[Known]) -> None:
    for known in processes:
        if alive(known):
            raise NotYet(f"process {known.pid} lives on; end it by hand")


def boot() -> str:
    """Return the name of this boot of the kernel: ticks of another say nothing."""
    return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
