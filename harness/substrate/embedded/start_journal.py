"""The journal of what was started, written before it is; and the sweep that works from it alone.

`started.jsonl` in the run folder holds one JSON object a line: `{"intent": ...}` before a process is started,
`{"pid": ..., "ticks": ..., "boot": ...}` after, `{"file": ...}` before a file is made
that holds plaintext or lies outside the run folder. A start is told
in clock ticks since boot, not in time of day: a run may stand for days while the wall clock is set.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.errors import HarnessError
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.embedded.process_tree import Known, Owner, alive, boot, end_all, look

JOURNAL = "started.jsonl"


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found and cleared: processes that lived, files that were there."""

    processes: int
    files: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the journal. `by`: the harness that wrote it; `process`: what it started; `file`: what it made."""

    by: Known | None = None
    process: Known | None = None
    file: Path | None = None


@dataclass(slots=True)
class Started:
    """The journal of one run folder. Several harnesses may write to it at once."""

    run: Path
    _boot: str = field(default_factory=boot)
    _lock: Lock = field(default_factory=Lock)

    def intend(self, site: str, name: str, program: str) -> None:
        """Note what is about to be started; on disk before this returns."""
        by = look(os.getpid())
        ticks = by.known.ticks if by else 0
        row = {"intent": name, "site": site, "program": program, "by": os.getpid(), "ticks": ticks, "boot": self._boot}
        self._append(row)

    def began(self, pid: int) -> Known:
        """Note the process that was started and return it. Raises HarnessError when it was collected already."""
        seen = look(pid)
        if seen is None:
            raise HarnessError(f"process {pid}: gone before it was noted in {self.run / JOURNAL}")
        self._append({"pid": pid, "ticks": seen.known.ticks, "boot": self._boot})
        return seen.known

    def note_file(self, path: Path) -> None:
        """Note a file that will hold plaintext, or lie outside the run folder; on disk before this returns."""
        self._append({"file": str(path)})

    def _append(self, row: dict[str, object]) -> None:
        line = (json.dumps(row) + "\n").encode()
        try:
            with self._lock, (self.run / JOURNAL).open("ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise HarnessError(f"{self.run / JOURNAL}: cannot be written ({error.strerror}); was it swept?") from None


def journalled(run: Path) -> tuple[Row, ...]:
    """Return what the journal of a run folder says; lines that cannot be read, and of an earlier boot, are left out."""
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
        if found["boot"] != now:
            return None
        if "pid" in found:
            return Row(process=Known(int(found["pid"]), int(found["ticks"])))
        return Row(by=Known(int(found["by"]), int(found["ticks"])))
    except (ValueError, TypeError, KeyError):
        return None  # the last line of a harness that was killed while it wrote


def sweep(run: Path) -> Swept:
    """End every process of a run and remove its folder and its files; works in another process, after a SIGKILL.

    Raises TookTooLong for a process that does not end, HarnessError for what cannot be removed.
    """
    run = run.resolve()
    rows = journalled(run)
    killed = end_all({row.process for row in rows if row.process}, Owner(run))
    noted = {row.file for row in rows if row.file and os.path.lexists(row.file)}
    for file in noted:
        file.unlink(missing_ok=True)
    removed = len(noted) + sum(len(files) for _, _, files in os.walk(run))
    remove_tree(run)
    return Swept(killed, removed)


def runs(home: Path) -> tuple[Path, ...]:
    """Return the run folders below `home` that a sweep has not cleared, by name."""
    return tuple(sorted(p for p in home.iterdir() if p.is_dir())) if home.is_dir() else ()


def harness_of(run: Path) -> int | None:
    """Return the number of a living process, other than this one, that started something in `run`; None without one."""
    others = {row.by for row in journalled(run.resolve()) if row.by and row.by.pid != os.getpid()}
    return next((by.pid for by in sorted(others, key=lambda k: k.pid) if alive(by)), None)
