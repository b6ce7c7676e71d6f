"""What a killed run left on this machine, found without its undo journal: by marks of processes, names and lists."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from harness.parts.cache import cache_home
from harness.substrate.embedded.process_tree import RUN_TAG, look

SHARED, SEGMENTS, SOCKETS, MOUNTS = map(Path, ("/dev/shm", "/proc/sysvipc/shm", "/proc/net/unix", "/proc/self/mounts"))  # noqa: S108


def residue(folder: Path) -> tuple[str, ...]:
    """Return a line for each thing that is left of the runs that were started in `folder`, sorted."""
    return tuple(sorted({*_processes(folder), *_files(folder), *_memory(folder), *_names(folder), *_locks(folder)}))


def _processes(folder: Path) -> Iterator[str]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            marked = process.environ().get(RUN_TAG, "").startswith(str(folder))
            if process.pid != os.getpid() and (
                marked or any(str(folder / "runs") in word for word in process.cmdline())
            ):
                yield f"process {process.pid} {process.name()}"


def _files(folder: Path) -> Iterator[str]:
    for below in ("runs", "tmp"):
        for path in (folder / below).rglob("*"):
            yield f"file {path.relative_to(folder)}"
    for state in (folder / ".blackstart").glob("*.json"):
        yield f"state file {state.name}"


def _memory(folder: Path) -> Iterator[str]:
    """Yield shared memory that nobody has attached and whose creator is gone, and what is named after the runs."""
    for line in SEGMENTS.read_text(encoding="ascii").splitlines()[1:]:
        words = line.split()
        if words[6] == "0" and look(int(words[4])) is None and int(words[13]) >= folder.stat().st_ctime:
            yield f"segment {words[1]} of process {words[4]}"
    for file in SHARED.iterdir():
        with contextlib.suppress(OSError):
            if file.stat().st_ctime >= folder.stat().st_ctime and not _mapped(file):
                yield f"shared memory {file.name}"


def _mapped(file: Path) -> bool:
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if str(file) in (Path("/proc") / str(process.pid) / "maps").read_text(encoding="utf-8", errors="replace"):
                return True
    return False


def _names(folder: Path) -> Iterator[str]:
    runs = str(folder / "runs")
    yield from (f"socket {line.split()[-1]}" for line in SOCKETS.read_text().splitlines() if runs in line)
    yield from (f"mount {line.split()[1]}" for line in MOUNTS.read_text().splitlines() if runs in line)


def _locks(folder: Path) -> Iterator[str]:
    """Yield the locks on targets that a process which is gone still holds."""
    for path in (cache_home() / "targets").glob("*.lock"):
        with contextlib.suppress(OSError, ValueError, KeyError), path.open(encoding="utf-8") as file:
            owner = json.load(file)
            if folder.name not in str(owner) and look(int(owner["pid"])) is not None:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield f"lock {path.name} of process {owner['pid']}"
