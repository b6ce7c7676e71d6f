"""Ledger file `ledger.jsonl`: numbered writes of several ledgers and their acknowledgements, each one fsynced."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Annotated

import pydantic.dataclasses
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from harness.core.errors import HarnessError, Unreadable
from harness.core.ledger import CLIENTS, Ledger, Ledgers, Write

LONGEST = 400  # bytes of a line


@dataclass(slots=True)
class LedgerFile:
    """The ledger of one writer, which sends the next write when the one before has ended. Monotonic seconds.

    Several may write to one file, each under a name of its own.
    """

    path: Path
    name: str = CLIENTS
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
        named = row if self.name == CLIENTS else {"ledger": self.name, **row}
        # One write at the end of the file: lines of other writers are never in between.
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(named) + "\n")
            file.flush()
            if sync:
                os.fsync(file.fileno())


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class _Sent:
    number: Annotated[int, Field(ge=0)]
    sent: float
    ledger: str = CLIENTS


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class _Acked:
    number: Annotated[int, Field(ge=0)]
    acked: float
    ledger: str = CLIENTS


ROW: TypeAdapter[_Sent | _Acked] = TypeAdapter(_Sent | _Acked)


def read_ledgers(path: Path) -> Ledgers:
    """Return the ledgers in a file by name, none without a file. Raises Unreadable with the line that is wrong.

    A write that is there twice is wrong too, and one that was acknowledged and not sent before.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Unreadable(f"{path.name}: {error.strerror}") from None
    sent: dict[tuple[str, int], float] = {}
    acked: dict[tuple[str, int], float] = {}
    if text and not text.endswith(b"\n"):
        raise Unreadable(f"{path.name}: its last line is not complete")
    for at, line in enumerate(text.split(b"\n")[:-1], 1):
        try:
            row = ROW.validate_json(line[:LONGEST])
        except ValidationError as error:
            raise Unreadable(f"{path.name}: line {at} is no line of a ledger ({error.errors()[0]['msg']})") from None
        known, value = (sent, row.sent) if isinstance(row, _Sent) else (acked, row.acked)
        named = {"ledger": row.ledger} if line.startswith(b'{"ledger"') else {}
        written = {**named, "number": row.number, "sent" if isinstance(row, _Sent) else "acked": value}
        if json.dumps(written).encode() != line:  # a key that is there twice: readers take one or the other
            raise Unreadable(f"{path.name}: line {at} is not as it was written")
        write = row.ledger, row.number
        if write in known:
            raise Unreadable(f"{path.name}: line {at}: write {row.number} is there twice")
        if isinstance(row, _Acked) and value < sent.get(write, float("inf")):
            raise Unreadable(f"{path.name}: line {at}: write {row.number} is acknowledged and was not sent before")
        known[write] = value
    return {
        name: Ledger.of(Write(n, when, acked.get((of, n))) for (of, n), when in sent.items() if of == name)
        for name in dict.fromkeys(name for name, _ in sent)
    }
