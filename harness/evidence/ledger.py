"""`ledger.jsonl`: what clients sent and were told, fsynced before the next write is sent."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.errors import Unreadable
from harness.core.ledger import Ledger, Write


@dataclass(slots=True)
class LedgerFile:
    """The book of one writer. Times are the writer's monotonic seconds."""

    path: Path
    _sent: dict[int, float] = field(default_factory=dict)
    _acked: dict[int, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def sent(self, number: int, at: float) -> None:
        """Note that a write was sent; before it is."""
        with self._lock:
            self._sent[number] = at
            self._append({"number": number, "sent": at}, sync=False)

    def acked(self, number: int, at: float) -> None:
        """Note that a write was acknowledged; on disk before this returns."""
        with self._lock:
            self._acked[number] = at
            self._append({"number": number, "acked": at}, sync=True)

    @property
    def ledger(self) -> Ledger:
        """Return what the book holds so far."""
        with self._lock:
            return Ledger.of(Write(n, at, self._acked.get(n)) for n, at in self._sent.items())

    def _append(self, row: dict[str, float], *, sync: bool) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            if sync:
                os.fsync(file.fileno())


def read_ledger(path: Path) -> Ledger:
    """Return the ledger in a file; raises Unreadable, naming the line."""
    sent: dict[int, float] = {}
    acked: dict[int, float] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            (acked if "acked" in row else sent)[int(row["number"])] = float(row.get("acked", row.get("sent")))
        except (ValueError, KeyError, TypeError):
            raise Unreadable(f"{path}: line {number} is not a ledger line") from None
    return Ledger.of(Write(n, at, acked.get(n)) for n, at in sent.items())
