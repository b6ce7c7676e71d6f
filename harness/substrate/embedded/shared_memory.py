"""Shared memory of killed processes, which outlives them: of System V (sysvipc(7)) and POSIX (shm_overview(7)).

PostgreSQL keeps one small segment. The kernel names a segment by an id that it does not reuse soon, and lists key,
creator and creation time as well; all four together identify it in this boot. A POSIX object is a file in /dev/shm, by
its path and inode. Where a site has a mount namespace of its own, its /dev/shm is lost with it, and not looked at here.
"""

import ctypes
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/sysvipc/shm")
# A mapping of a segment in /proc/PID/maps (proc(5)): the file name holds its key, the inode number is its id.
MAPPING = re.compile(r"^\S+ \S+ \S+ \S+ (\d+) +/SYSV[0-9a-f]{8} \(deleted\)$", re.MULTILINE)
# Likewise of a POSIX object that still has its name: its inode number and path.
OBJECT = re.compile(r"^\S+ \S+ \S+ \S+ (\d+) +(/dev/shm/[^\n]+)(?<! \(deleted\))$", re.MULTILINE)
IPC_RMID = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """Identity of a segment. `creator`: pid of the process that created it; `created`: Unix time in seconds."""

    id: int
    key: int
    creator: int
    created: int


@dataclass(frozen=True, slots=True)
class SharedFile:
    """Identity of a POSIX shared memory object, which is a file in /dev/shm."""

    path: str
    inode: int


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


def mapped(pids: Iterable[int]) -> set[SharedFile]:
    """Return the POSIX shared memory that some of these processes have mapped, in the /dev/shm of this process."""
    found = (OBJECT.findall(_maps(pid, "mnt")) for pid in pids)
    return {SharedFile(path, int(inode)) for one in found for inode, path in one}


def unlink(files: Iterable[SharedFile]) -> int:
    """Remove those of the objects that still exist and that no process has mapped; return their number."""
    there = {one for one in files if _exists(one)}
    if there:
        there -= mapped(int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())
    for one in there:
        Path(one.path).unlink(missing_ok=True)
    return len(there)


def _exists(one: SharedFile) -> bool:
    try:
        return Path(one.path).stat().st_ino == one.inode
    except OSError:
        return False


def _maps(pid: int, namespace: str = "ipc") -> str:
    """Return the memory mappings of a process; "" when it is gone, or in another namespace of that kind."""
    process, own = Path("/proc", str(pid)), Path("/proc/self/ns", namespace)
    try:
        if (process / "ns" / namespace).readlink() != own.readlink():
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
