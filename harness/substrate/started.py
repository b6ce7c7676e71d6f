"""The journal of what was started, written before it is; and the sweep that works from it alone.

`started.jsonl` in the run folder holds one JSON object a line: `{"intent": ...}` before a process is started,
`{"pid": ..., "created": ...}` after, `{"file": ...}` before a file with plaintext is made.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import psutil

from harness.core.clock import wait_until

JOURNAL = "started.jsonl"
TAG = "BLACKSTART_RUN"
GONE = 10.0  # seconds that killed processes are given to disappear
SAME = 0.05  # seconds by which the kernel's two accounts of a start may differ


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found and cleared."""

    processes: int
    files: int


@dataclass(slots=True)
class Started:
    """The journal of one run folder."""

    run: Path
    _lock: Lock = field(default_factory=Lock)

    def intend(self, site: str, name: str, program: str) -> None:
        """Note what is about to be started; on disk before this returns."""
        self._append({"intent": name, "site": site, "program": program})

    def began(self, pid: int) -> None:
        """Note the process that was started."""
        try:
            created = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        self._append({"pid": pid, "created": created})

    def note_file(self, path: Path) -> None:
        """Note a file that will hold plaintext; on disk before this returns."""
        self._append({"file": str(path)})

    def _append(self, row: dict[str, object]) -> None:
        with self._lock, (self.run / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def kill_tree(roots: list[psutil.Process]) -> int:
    """Kill these processes, their sessions and all their descendants; return how many there were."""
    doomed: dict[int, psutil.Process] = {}
    for root in roots:
        try:
            doomed[root.pid] = root
            doomed |= {p.pid: p for p in root.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    for process in doomed.values():
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    wait_until(lambda: require_gone(doomed.values()), patience=GONE, on=StillThere, every=0.01, what="killed processes")
    return len(doomed)


class StillThere(Exception):  # noqa: N818 - it is a state, and never leaves this module
    """A killed process has not gone yet."""


def require_gone(processes: Iterable[psutil.Process]) -> None:
    """Raise StillThere unless all are gone; a zombie is: only its parent has not looked yet."""
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                raise StillThere(f"process {process.pid} lives on")
        except psutil.NoSuchProcess:
            continue


def tagged(run: Path) -> Iterator[psutil.Process]:
    """Yield every process whose environment says that it belongs to `run`."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(TAG) == str(run):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue


def journalled(run: Path) -> tuple[list[psutil.Process], list[Path]]:
    """Return the processes of the journal that still live, and the files that it names and that exist."""
    processes, files = [], []
    path = run / JOURNAL
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the last line of a harness that was killed while it wrote
        if "pid" in row:
            try:
                process = psutil.Process(row["pid"])
                if abs(process.create_time() - row["created"]) < SAME:
                    processes.append(process)
            except psutil.NoSuchProcess:
                continue
        elif "file" in row and Path(row["file"]).exists():
            files.append(Path(row["file"]))
    return processes, files


def sweep(run: Path) -> Swept:
    """End every process of a run and remove its files; works in another process, after a SIGKILL."""
    run = run.resolve()
    processes, files = journalled(run)
    killed = kill_tree([*processes, *tagged(run)])
    for file in files:
        file.unlink(missing_ok=True)
    removed = len(files) + sum(1 for p in run.rglob("*") if p.is_file())
    shutil.rmtree(run, ignore_errors=True)
    return Swept(killed, removed)


def runs(home: Path) -> tuple[Path, ...]:
    """Return the run folders below `home`, oldest first."""
    return tuple(sorted(p for p in home.iterdir() if p.is_dir())) if home.is_dir() else ()
