"""Ledger file `ledger.jsonl`: numbered writes and their acknowledgements, each acknowledgement fsynced."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harness.core.errors import HarnessError
from harness.core.ledger import Ledger, Write


@dataclass(slots=True)
class LedgerFile:
    """The ledger of one writer, which sends the next write when the one before has ended. Monotonic seconds."""

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
        """Record that a write was acknowledged; fsynced before this returns. Raises HarnessError out of turn.

        A write that was given up as failed cannot be acknowledged later: its client was told so.
        """
        with self._lock:
            if number in self._acked or number != next(reversed(self._sent), None):
                raise HarnessError(
                    f"ledger: write {number} was acknowledged out of turn; it had ended, or was never sent"
                )
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
