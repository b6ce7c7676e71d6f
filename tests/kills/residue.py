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


def shared_memory() -> frozenset[str]:
    """Return the segments and objects of shared memory that this machine has, of whomever."""
    files = set()
    for file in SHARED.iterdir():
        with contextlib.suppress(OSError):
            files.add(f"{file.name} {file.stat().st_ino}")
    return frozenset({*(_segment(words) for words in _segments()), *files})


def residue(folder: Path, earlier: frozenset[str]) -> tuple[str, ...]:
    """Return a line for each thing that is left of the runs that were started in `folder`, sorted.

    `earlier`: the shared memory before the first of them.
    """
    left = {*_processes(folder), *_files(folder), *_memory(earlier), *_names(folder), *_locks(folder)}
    return tuple(sorted(left))


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


def _segments() -> Iterator[list[str]]:
    yield from (line.split() for line in SEGMENTS.read_text(encoding="ascii").splitlines()[1:])


def _segment(words: list[str]) -> str:
    return f"segment {words[1]} of process {words[4]} made at {words[13]}"


def _memory(earlier: frozenset[str]) -> Iterator[str]:
    """Yield shared memory that is not of `earlier`, and that no living process uses: those have others on this machine.

    Living processes of the runs are found by their own marks.
    """
    for words in _segments():
        if words[6] == "0" and look(int(words[4])) is None and _segment(words) not in earlier:
            yield _segment(words)
    for file in SHARED.iterdir():
        with contextlib.suppress(OSError):
            if f"{file.name} {file.stat().st_ino}" not in earlier and not _used(file):
                yield f"shared memory {file.name}"


def _used(file: Path) -> bool:
    """Return whether a living process has a file mapped or open."""
    for process in psutil.process_iter():
        home = Path("/proc") / str(process.pid)
        with contextlib.suppress(OSError):
            if str(file) in (home / "maps").read_text(encoding="utf-8", errors="replace"):
                return True
        with contextlib.suppress(OSError):
            for one in (home / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if one.readlink() == file:
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
