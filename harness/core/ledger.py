"""What clients were told is safe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Write:
    """One numbered write. Times are monotonic seconds of the writer; `acked` is None until it was answered."""

    number: int
    sent: float
    acked: float | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """All writes of one writer, by number."""

    writes: tuple[Write, ...]

    @classmethod
    def of(cls, writes: Iterable[Write]) -> Ledger:
        """Return a ledger with the last word on each number, in order of number."""
        last = {write.number: write for write in writes}
        return cls(tuple(last[number] for number in sorted(last)))

    def acknowledged(self) -> tuple[Write, ...]:
        """Writes that were answered, in the order in which they were."""
        return tuple(sorted((w for w in self.writes if w.acked is not None), key=lambda w: (w.acked or 0.0, w.number)))

    def last_before(self, at: float) -> Write | None:
        """The newest write acknowledged at or before `at`, or None."""
        return max(
            (w for w in self.writes if w.acked is not None and w.acked <= at),
            key=lambda w: w.acked or 0.0,
            default=None,
        )

    def first_after(self, at: float) -> Write | None:
        """The first write acknowledged after `at`, or None."""
        return min(
            (w for w in self.writes if w.acked is not None and w.acked > at),
            key=lambda w: w.acked or 0.0,
            default=None,
        )
