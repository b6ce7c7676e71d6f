"""Journal file `journal.jsonl`: one JSON object a line, numbered, hash-chained by the SHA-256 of the line before."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

import pydantic
import pydantic.dataclasses
from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import Unreadable
from harness.core.journal import END, Event, Fact

GENESIS = "0" * 64
DIGITS = 6  # decimal places of `at`: microseconds
LONGEST = 16 << 20  # bytes of a line; a longer one is cut, and so refused


@dataclass(slots=True)
class JournalFile:
    """A journal, fsynced before `mark` returns except after the end of a phase; `listener` gets every event."""

    path: Path
    clock: Clock = SYSTEM
    listener: Callable[[Event], None] = lambda _event: None
    _events: list[Event] = field(default_factory=list)
    _last: str = GENESIS
    _lock: Lock = field(default_factory=Lock)
    _writes: list[tuple[float, float]] = field(default_factory=list)

    def mark(self, kind: str, subject: str, *, message: str = "", **facts: Fact) -> Event:
        """Write one event, fsync it unless it ends a phase, and return it."""
        with self._lock:
            # Rounded here, so that the file says exactly what is judged.
            at = round(self.clock.monotonic(), DIGITS)
            wall = self.clock.wall()
            wall = wall.replace(microsecond=wall.microsecond // 1000 * 1000)
            event = Event(at, wall, kind, subject, message, facts)
            row = {"n": len(self._events) + 1, **as_data(event), "prev": self._last}
            line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")
            with self.path.open("ab") as file:
                file.write(line + b"\n")
                file.flush()
                if kind != END:
                    os.fsync(file.fileno())
            self._last = hashlib.sha256(line).hexdigest()
            self._events.append(event)
        self.listener(event)
        self._writes.append((event.at, self.clock.monotonic()))
        return event

    def resume(self) -> None:
        """Go on with a journal that was interrupted: a last line that is not complete is cut off. Raises Unreadable."""
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
                os.fsync(file.fileno())
        self._events[:] = read_journal(self.path)
        self._last = hashlib.sha256(whole[:-1].rpartition(b"\n")[2]).hexdigest()

    @property
    def events(self) -> tuple[Event, ...]:
        """Return all events so far."""
        return tuple(self._events)

    @property
    def writes(self) -> tuple[tuple[float, float], ...]:
        """Return begin and end of the writing of each event since this process began, in monotonic seconds."""
        return tuple(self._writes)


def as_data(event: Event) -> dict[str, Any]:
    """Return an event as JSON-ready data."""
    return {**asdict(event), "at": round(event.at, DIGITS), "wall": event.wall.isoformat(timespec="milliseconds")}


def head_of(path: Path, count: int) -> str | None:
    """Return the SHA-256 of line `count` of a journal file, None where there is no such line."""
    if count < 1 or not path.is_file():
        return None
    with path.open("rb") as file:
        lines = [line for _, line in zip(range(count), file, strict=False)]
    return hashlib.sha256(lines[-1].rstrip(b"\n")).hexdigest() if len(lines) == count else None


def read_journal(path: Path) -> tuple[Event, ...]:
    """Return the events of a journal file. Raises Unreadable with the first line that is wrong, and what is wrong.

    That is a line that is no event, an event that is missing or out of its place, or one that was changed.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path.name}: {error.strerror}") from None
    if not text.endswith(b"\n"):
        raise Unreadable(f"{path.name}: its last line is not complete")
    lines = text[:-1].split(b"\n")
    read = [_line(path, number, line) for number, line in enumerate(lines, 1)]
    _require_order(path, [line.n for line, _ in read])
    last = GENESIS
    for (line, _), content in zip(read, lines, strict=True):
        if line.prev != last:
            raise Unreadable(f"{path.name}: line {line.n - 1} was changed: line {line.n} has another hash of it")
        last = hashlib.sha256(content).hexdigest()
    return tuple(event for _, event in read)


def _require_order(path: Path, numbers: list[int]) -> None:
    expected = range(1, len(numbers) + 1)
    wrong = next((at for at, number in zip(expected, numbers, strict=True) if number != at), None)
    if wrong is None:
        return
    if sorted(numbers) == list(expected):
        raise Unreadable(f"{path.name}: events are swapped: line {wrong} has event {numbers[wrong - 1]}")
    if wrong not in numbers:
        raise Unreadable(f"{path.name}: event {wrong} is missing")
    raise Unreadable(f"{path.name}: line {wrong} has event {numbers[wrong - 1]}, which is there twice")


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class _Line:
    n: int
    at: float
    wall: str
    kind: str
    subject: str
    message: str
    facts: dict[str, Fact]
    prev: str

    @property
    def event(self) -> Event:
        wall = datetime.fromisoformat(self.wall)
        return Event(self.at, wall, self.kind, self.subject, self.message, self.facts)


LINE = TypeAdapter(_Line)


def _line(path: Path, number: int, text: bytes) -> tuple[_Line, Event]:
    """Return a line of the file and its event; raises Unreadable."""
    try:
        json.loads(text[:LONGEST], object_pairs_hook=_require_unique)
        line = LINE.validate_json(text[:LONGEST])
        event = line.event
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    else:
        if json.dumps(asdict(line), ensure_ascii=False).encode("utf-8", "replace") == text:
            return line, event
        reason = "not as it was written"  # other readers may take another type for something else
    raise Unreadable(f"{path.name}: line {number} is not a journal line ({reason})")


def _require_unique(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is there twice")
