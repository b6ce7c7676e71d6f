"""Write-ahead undo journal of a run: how each thing that the run changes outside its own memory is undone.

`undo.jsonl` in the run folder holds one JSON object a line. A line with `undo` is on disk before the change is made:
its `id`, how it is undone, when it was written, and what that needs. `{"of": ID, "pid": ...}` follows once a process is
started, `{"undone": ID}` once a change is undone. Undoing twice does no harm, so that a lost mark costs nothing. The
start of a process is in clock ticks since boot, because the wall clock may be set. `{"by": PID, ...}` names a harness
from its begin on, `{"at": TIME}` says that it still works.
"""

import errno
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import IO, Any

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.substrate.embedded.process_tree import ProcessId, alive, boot, look
from harness.substrate.embedded.shared_memory import Segment, SharedFile

JOURNAL = "undo.jsonl"


class Undo(StrEnum):
    """How a change is undone. The last two need the site that was changed; all others are undone on this machine."""

    END = "end the process and its descendants, by its number and by the mark in its environment"
    REMOVE = "remove the file"
    SEGMENT = "remove the segment of shared memory"
    OBJECT = "remove the object of shared memory"
    LABEL = "remove what the container engine has with the label of this run"
    STATE = "remove the state file, if it is of this run"
    RUN = "remove the run folder, which holds all that was changed"
    SCALE = "scale the workload of the existing site to 0"
    CLEAR = "remove from the existing site what was not there before"


ELSEWHERE = frozenset({Undo.SCALE, Undo.CLEAR})


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the journal. `by`: the harness that wrote it; the others: what was started or made.

    `id` and `undo`: of a change, else "" and None; `facts`: the line itself.
    """

    id: str = ""
    undo: Undo | None = None
    by: ProcessId | None = None
    process: ProcessId | None = None
    file: Path | None = None
    segment: Segment | None = None
    shared: SharedFile | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class UndoJournal:
    """The undo journal of one run folder. Several harnesses may write to it at once.

    `of_undo`: its changes are made to undo others, so that they are none of the work that is undone.
    """

    run: Path
    of_undo: bool = False
    _boot: str = field(default_factory=boot)
    _lock: Lock = field(default_factory=Lock)
    _files: dict[Path, str] = field(default_factory=dict)
    _whole: bool = False  # whether its last line is complete

    def note(self, undo: Undo, **facts: object) -> str:
        """Write down a change before it is made, and return its id; on disk when this returns. Raises HarnessError."""
        name = secrets.token_hex(6)
        row = {"id": name, "undo": undo, "at": _now(), **facts}
        self._append({**row, "of_undo": True} if self.of_undo else row)
        return name

    def note_harness(self) -> None:
        """Note this process as one that works in the run; on disk when this returns. Raises HarnessError."""
        self._append(self._me())

    def note_alive(self) -> None:
        """Note that the work goes on, and may have made something until now. Raises HarnessError."""
        self._append({"at": _now()})

    def _me(self) -> dict[str, object]:
        by = look(os.getpid())
        return {"by": os.getpid(), "ticks": by.id.ticks if by else 0, "boot": self._boot}

    def undone(self, *names: str) -> None:
        """Mark changes as undone; nothing where the run was swept meanwhile."""
        if not any(names):
            return
        with suppress(OSError), self._lock, (self.run / JOURNAL).open("a+b", buffering=0) as file:
            for name in filter(None, names):
                self._write(file, {"undone": name})

    def intend(self, site: str, name: str, program: str) -> str:
        """Note a process before it is started, and return the id; on disk when this returns."""
        return self.note(Undo.END, intent=name, site=site, program=program, **self._me())

    def began(self, pid: int, intent: str = "") -> ProcessId:
        """Note a process after it was started and return its identity. Raises HarnessError when it is gone already."""
        seen = look(pid)
        if seen is None:
            raise HarnessError(f"process {pid}: gone before it was noted in {self.run / JOURNAL}")
        self._append({"of": intent, "pid": pid, "ticks": seen.id.ticks, "boot": self._boot})
        return seen.id

    def note_file(self, path: Path) -> None:
        """Note a file or folder that will hold plaintext or lie outside the run folder; on disk when this returns."""
        self._files[path] = self.note(Undo.REMOVE, file=str(path))

    def file_gone(self, path: Path) -> None:
        """Mark a noted file as removed."""
        self.undone(self._files.pop(path, ""))

    def note_memory(self, segments: Iterable[Segment], shared: Iterable[SharedFile] = ()) -> tuple[str, ...]:
        """Note the shared memory of a process and return the ids; on disk when this returns."""
        return (
            *(
                self.note(Undo.SEGMENT, segment=[one.id, one.key, one.creator, one.created], boot=self._boot)
                for one in segments
            ),
            *(self.note(Undo.OBJECT, shared=[file.path, file.inode], boot=self._boot) for file in shared),
        )

    def _append(self, row: dict[str, object]) -> None:
        try:
            with self._lock, (self.run / JOURNAL).open("a+b", buffering=0) as file:
                self._write(file, row)
                os.fsync(file.fileno())
        except OSError as error:
            raise HarnessError(f"{self.run / JOURNAL}: cannot be written ({error.strerror}); was it swept?") from None

    def _write(self, file: IO[bytes], row: dict[str, object]) -> None:
        """Write a line, after the end of one that was cut off. Raises OSError, also for a part of the line."""
        whole, self._whole = self._whole, False
        if not whole:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            if end and file.read(1) != b"\n":
                file.write(b"\n")
        line = (json.dumps(row) + "\n").encode()
        if file.write(line) != len(line):  # a disk that fills up takes a part of it, without an error
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._whole = True


def _now() -> str:
    return SYSTEM.wall().isoformat(timespec="milliseconds")


def journalled(run: Path) -> tuple[Row, ...]:
    """Return the rows of the journal of a run folder, without lines that cannot be read or are of an earlier boot."""
    now = boot()
    rows = (_row(found, now) for found in _lines(run))
    return tuple(row for row in rows if row is not None)


def not_undone(run: Path, *kinds: Undo) -> tuple[Row, ...]:
    """Return the changes of these kinds that are not marked as undone, the last one first."""
    done = {found["undone"] for found in _lines(run) if "undone" in found}
    return tuple(row for row in reversed(journalled(run)) if row.undo in kinds and row.id not in done)


def last_change(run: Path) -> datetime | None:
    """Return when the work of a run folder last wrote to its journal, in whatever boot; None where it never did.

    What was written while it was undone does not count.
    """
    times = []
    for found in _lines(run):
        with suppress(KeyError, TypeError, ValueError):
            if not found.get("of_undo"):
                times.append(datetime.fromisoformat(found["at"]))
    return max(times, default=None)


def _lines(run: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = (run / JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue  # the last line of a harness that was killed while it wrote it
        if isinstance(found, dict):
            yield found


def _row(found: dict[str, Any], now: str) -> Row | None:
    try:
        undo = Undo(found["undo"]) if "undo" in found else None
        row = _thing(found)
        if "boot" in found and found["boot"] != now:
            return None  # means something in its own boot alone
        return Row(str(found.get("id", "")), undo, row.by, row.process, row.file, row.segment, row.shared, found)
    except (ValueError, TypeError, KeyError):
        return None


def _thing(found: dict[str, Any]) -> Row:
    """Return what a line names; raises ValueError, TypeError, KeyError."""
    if "file" in found:
        return Row(file=Path(found["file"]))
    if "segment" in found:
        return Row(segment=Segment(*map(int, found["segment"])))
    if "shared" in found:
        path, inode = found["shared"]
        return Row(shared=SharedFile(str(path), int(inode)))
    if "pid" in found:
        return Row(process=ProcessId(int(found["pid"]), int(found["ticks"])))
    if "by" in found:
        return Row(by=ProcessId(int(found["by"]), int(found["ticks"])))
    return Row()


def others_wrote(run: Path) -> bool:
    """Return whether another harness than this one, living or not, worked in `run` since the last boot."""
    return any(row.by and row.by.pid != os.getpid() for row in journalled(run))


def runs(home: Path) -> tuple[Path, ...]:
    """Return the run folders below `home` that were not swept yet, sorted by name."""
    return tuple(sorted(p for p in home.iterdir() if p.is_dir())) if home.is_dir() else ()


def harness_of(run: Path) -> ProcessId | None:
    """Return a living harness, other than this one, that works in `run`; None without one."""
    others = {row.by for row in journalled(run.resolve()) if row.by and row.by.pid != os.getpid()}
    return next((by for by in sorted(others, key=lambda k: k.pid) if alive(by)), None)
