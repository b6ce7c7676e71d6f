"""System V shared memory of processes that are killed: it outlives them until it is removed (shmctl(2), sysvipc(7)).

PostgreSQL keeps one small segment. The kernel names a segment by an id that it does not reuse soon, and lists key,
creator and creation time as well; all four together identify it in this boot.
"""

import ctypes
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/sysvipc/shm")
# A mapping of a segment in /proc/PID/maps (proc(5)): the file name holds its key, the inode number is its id.
MAPPING = re.compile(r"^\S+ \S+ \S+ \S+ (\d+) +/SYSV[0-9a-f]{8} \(deleted\)$", re.MULTILINE)
IPC_RMID = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """Identity of a segment. `creator`: pid of the process that created it; `created`: Unix time in seconds."""

    id: int
    key: int
    creator: int
    created: int


def listed() -> dict[Segment, int]:
    """Return all segments that exist, each with the number of processes that are attached to it."""
    try:
        head, *rows = (line.split() for line in TABLE.read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return {}  # a kernel without System V shared memory
    found = (dict(zip(head, map(int, row), strict=True)) for row in rows)
    return {Segment(one["shmid"], one["key"], one["cpid"], one["ctime"]): one["nattch"] for one in found}


def attached(pids: Iterable[int]) -> set[Segment]:
    """Return the segments to which some of these processes are attached."""
    ids = {int(segment) for pid in pids for segment in MAPPING.findall(_maps(pid))}
    return {segment for segment in listed() if segment.id in ids} if ids else set()


def _maps(pid: int) -> str:
    """Return the memory mappings of a process; "" when it is gone, or in another IPC namespace."""
    process = Path("/proc", str(pid))
    try:
        if (process / "ns/ipc").readlink() != Path("/proc/self/ns/ipc").readlink():
            return ""
        return (process / "maps").read_text(errors="replace")
    except OSError:
        return ""


def remove(segments: Iterable[Segment]) -> int:
    """Remove those of the segments that still exist and to which no process is attached; return their number."""
    now, removed = listed(), 0
    for segment in segments:
        if now.get(segment) == 0:
            removed += ctypes.CDLL(None).shmctl(segment.id, IPC_RMID, None) == 0
    return removed
