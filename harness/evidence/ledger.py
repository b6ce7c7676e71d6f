"""Ledger file `ledger.jsonl`: numbered writes and their acknowledgements, each acknowledgement fsynced."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.ledger import Ledger, Write


@dataclass(slots=True)
class LedgerFile:
    """The ledger of one writer. Times are monotonic seconds of the writer."""

    path: Path
    _sent: dict[int, float] = field(default_factory=dict)
    _acked: dict[int, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def sent(self, number: int, at: float) -> None:
        """Record that a write is about to be sent."""
        with self._lock:
            self._sent[number] = at
            self._append({"number": number, "sent": at}, sync=False)

    def acked(self, number: int, at: float) -> None:
        """Record that a write was acknowledged; fsynced before this returns."""
        with self._lock:
            self._acked[number] = at
            self._append({"number": number, "acked": at}, sync=True)

    @property
    def ledger(self) -> Ledger:
        """Return the ledger so far."""
        with self._lock:
            return Ledger.of(Write(n, at, self._acked.get(n)) for n, at in self._sent.items())

    def _append(self, row: dict[str, float], *, sync: bool) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            if sync:
                os.fsync(file.fileno())
