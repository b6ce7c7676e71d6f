"""Ledger of numbered writes and their acknowledgements."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self, TypeAlias

CLIENTS = "clients"  # the name of the ledger of the client load


@dataclass(frozen=True, slots=True)
class Write:
    """One numbered write. Times are monotonic seconds of the writer; `acked`: None without acknowledgement."""

    number: int
    sent: float
    acked: float | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """All writes of one writer, sorted by number."""

    writes: tuple[Write, ...]

    @classmethod
    def of(cls, writes: Iterable[Write]) -> Self:
        """Return a ledger with the last entry for each number, sorted by number."""
        last = {write.number: write for write in writes}
        return cls(tuple(last[number] for number in sorted(last)))

    def acknowledged(self) -> tuple[Write, ...]:
        """Return the acknowledged writes in the order of their acknowledgements."""
        return tuple(sorted((w for w in self.writes if w.acked is not None), key=lambda w: (w.acked or 0.0, w.number)))

    def last_before(self, at: float) -> Write | None:
        """Return the last write acknowledged at or before `at`, None without one."""
        return max(
            (w for w in self.writes if w.acked is not None and w.acked <= at),
            key=lambda w: w.acked or 0.0,
            default=None,
        )


NO_WRITES = Ledger(())
Ledgers: TypeAlias = Mapping[str, Ledger]  # by name
