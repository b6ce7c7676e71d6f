"""Journal file `journal.jsonl`: one JSON object a line, hash-chained by the SHA-256 of the previous line."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from harness.core.clock import SYSTEM, Clock
from harness.core.journal import END, Event, Fact

GENESIS = "0" * 64


@dataclass(slots=True)
class JournalFile:
    """A journal, fsynced before `mark` returns except after the end of a phase; `listener` gets every event."""

    path: Path
    clock: Clock = SYSTEM
    listener: Callable[[Event], None] = lambda _event: None
    _events: list[Event] = field(default_factory=list)
    _last: str = GENESIS
    _lock: Lock = field(default_factory=Lock)

    def mark(self, kind: str, subject: str, *, message: str = "", **facts: Fact) -> Event:
        """Write one event, fsync it unless it ends a phase, and return it."""
        with self._lock:
            event = Event(self.clock.monotonic(), self.clock.wall(), kind, subject, message, facts)
            line = json.dumps({**as_data(event), "prev": self._last}, ensure_ascii=False).encode()
            with self.path.open("ab") as file:
                file.write(line + b"\n")
                file.flush()
                if kind != END:
                    os.fsync(file.fileno())
            self._last = hashlib.sha256(line).hexdigest()
            self._events.append(event)
        self.listener(event)
        return event

    @property
    def events(self) -> tuple[Event, ...]:
        """Return all events so far."""
        return tuple(self._events)


def as_data(event: Event) -> dict[str, Any]:
    """Return an event as JSON-ready data."""
    return {**asdict(event), "at": round(event.at, 6), "wall": event.wall.isoformat(timespec="milliseconds")}
