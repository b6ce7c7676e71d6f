"""Write-ahead journal of the processes and files of a run, and the sweep that works from the journal alone.

`started.jsonl` in the run folder holds one JSON object a line: `{"intent": ...}` before a process is started,
`{"pid": ..., "ticks": ..., "boot": ...}` after, `{"file": ...}` before a file is made that holds plaintext or lies
outside the run folder, `{"segment": [id, key, creator, created], "boot": ...}` and `{"shared": [path, inode], ...}` for
the shared memory of a node that is ready. The start of a process is in clock ticks since boot, because the wall clock
may be set.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from harness.core.errors import HarnessError
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.embedded.process_tree import Owner, ProcessId, alive, boot, end_all, look
from harness.substrate.embedded.shared_memory import Segment, SharedFile, remove, unlink

JOURNAL = "started.jsonl"


@dataclass(frozen=True, slots=True)
class Swept:
    """Result of a sweep: how many processes were killed and how many files removed."""

    processes: int
    files: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the journal. `by`: the harness that wrote it; the others: what was started or made."""

    by: ProcessId | None = None
    process: ProcessId | None = None
    file: Path | None = None
    segment: Segment | None = None
    shared: SharedFile | None = None


@dataclass(slots=True)
class StartJournal:
    """The journal of one run folder. Several harnesses may write to it at once."""

    run: Path
    _boot: str = field(default_factory=boot)
    _lock: Lock = field(default_factory=Lock)

    def intend(self, site: str, name: str, program: str) -> None:
        """Note a process before it is started; on disk when this returns."""
        by = look(os.getpid())
        ticks = by.id.ticks if by else 0
        row = {"intent": name, "site": site, "program": program, "by": os.getpid(), "ticks": ticks, "boot": self._boot}
        self._append(row)

    def began(self, pid: int) -> ProcessId:
        """Note a process after it was started and return its identity. Raises HarnessError when it is gone already."""
        seen = look(pid)
        if seen is None:
            raise HarnessError(f"process {pid}: gone before it was noted in {self.run / JOURNAL}")
        self._append({"pid": pid, "ticks": seen.id.ticks, "boot": self._boot})
        return seen.id

    def note_file(self, path: Path) -> None:
        """Note a file that will hold plaintext or lie outside the run folder; on disk when this returns."""
        self._append({"file": str(path)})

    def note_memory(self, segments: Iterable[Segment], shared: Iterable[SharedFile] = ()) -> None:
        """Note the shared memory of a process; on disk when this returns."""
        for one in segments:
            self._append({"segment": [one.id, one.key, one.creator, one.created], "boot": self._boot})
        for file in shared:
            self._append({"shared": [file.path, file.inode], "boot": self._boot})

    def _append(self, row: dict[str, object]) -> None:
        line = (json.dumps(row) + "\n").encode()
        try:
            with self._lock, (self.run / JOURNAL).open("ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise HarnessError(f"{self.run / JOURNAL}: cannot be written ({error.strerror}); was it swept?") from None


def journalled(run: Path) -> tuple[Row, ...]:
    """Return the rows of the journal of a run folder, without lines that cannot be read or are of an earlier boot."""
    try:
        lines = (run / JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    now = boot()
    rows = (_row(line, now) for line in lines)
    return tuple(row for row in rows if row is not None)


def _row(line: str, now: str) -> Row | None:
    try:
        found = json.loads(line)
        if "file" in found:
            return Row(file=Path(found["file"]))
        return _process_or_memory(found) if found["boot"] == now else None
    except (ValueError, TypeError, KeyError):
        return None  # the last line of a harness that was killed while it wrote it


def _process_or_memory(found: dict[str, Any]) -> Row:
    """Return a row that means something in this boot alone; raises ValueError, TypeError, KeyError."""
    if "segment" in found:
        return Row(segment=Segment(*map(int, found["segment"])))
    if "shared" in found:
        path, inode = found["shared"]
        return Row(shared=SharedFile(str(path), int(inode)))
    if "pid" in found:
        return Row(process=ProcessId(int(found["pid"]), int(found["ticks"])))
    return Row(by=ProcessId(int(found["by"]), int(found["ticks"])))


def others_wrote(run: Path) -> bool:
    """Return whether another harness than this one, living or not, started a process in `run` since the last boot."""
    return any(row.by and row.by.pid != os.getpid() for row in journalled(run))


def sweep(run: Path) -> Swept:
    """SIGKILL every process of a run and remove its folder and files; works in another process after a crash.

    Raises TookTooLong for a process that does not end, HarnessError for a file that cannot be removed.
    """
    run = run.resolve()
    rows = journalled(run)
    killed = end_all({row.process for row in rows if row.process}, Owner(run))
    remove(row.segment for row in rows if row.segment)  # of processes that had ended before
    unlink(row.shared for row in rows if row.shared)
    noted = {row.file for row in rows if row.file and os.path.lexists(row.file)}
    for file in noted:
        file.unlink(missing_ok=True)
    removed = len(noted) + sum(len(files) for _, _, files in os.walk(run))
    remove_tree(run)
    return Swept(killed, removed)


def runs(home: Path) -> tuple[Path, ...]:
    """Return the run folders below `home` that were not swept yet, sorted by name."""
    return tuple(sorted(p for p in home.iterdir() if p.is_dir())) if home.is_dir() else ()


def harness_of(run: Path) -> int | None:
    """Return the pid of a living harness, other than this one, that started a process in `run`; None without one."""
    others = {row.by for row in journalled(run.resolve()) if row.by and row.by.pid != os.getpid()}
    return next((by.pid for by in sorted(others, key=lambda k: k.pid) if alive(by)), None)
