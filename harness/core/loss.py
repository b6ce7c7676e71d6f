"""Loss of acknowledged writes, by ledger. RPO is defined only here.

`RPA = fault - t*`; `fault`: time of the last acknowledgement before the strike; `t*`: acknowledgement time of the
newest write such that it and every earlier write survived. What the primary acknowledged after the fault, while the
strike ended it, is named in the record (`harness.drill.divergence`) and is not part of the RPA.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from harness.core.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Loss:
    """Writes of the ledger that are missing in the recovered system, by number."""

    rpa: float | None  # seconds; None without an acknowledged write
    lost: tuple[int, ...]
    phantom: tuple[int, ...]
    out_of_order: tuple[int, ...]
    acknowledged: int  # up to the fault
    everything: bool  # no write survived, so that `rpa` is only a lower bound
    own: tuple[int, ...] = ()  # missing, and sent once clients had been led to the DR site


@dataclass(frozen=True, slots=True)
class StoreWrites:
    """Observations of a further ledger: of clients that write to one store of one service."""

    name: str
    ledger: Ledger
    survivors: frozenset[int] | None  # None: not read back
    copied: float | None = None  # monotonic seconds, see `measure_loss`; None: its store keeps the order of writes


def fault_moment(ledger: Ledger, struck: float) -> float | None:
    """Return the time of the last acknowledged write before the strike, None without one."""
    write = ledger.last_before(struck)
    return write.acked if write else None


def measure_loss(
    ledger: Ledger, survivors: frozenset[int], fault: float, copied: float | None = None, led: float | None = None
) -> Loss:
    """Compare the writes acknowledged up to `fault` with the survivors; return the loss.

    `copied`: for a store that is copied in rounds, the begin of its last complete round before the strike. What was
    acknowledged later may have been copied in any order, so that only the loss of an earlier write is out of order.
    `led`: when clients had been led to the DR site, in monotonic seconds, None when they were not: a write that they
    sent later was acknowledged there.
    """
    acked = [(w.acked, w) for w in ledger.acknowledged() if w.acked is not None]
    owed = [(at, w) for at, w in acked if at <= fault]
    gone = [(at, w) for at, w in owed if w.number not in survivors]
    lost = tuple(sorted(w.number for _, w in gone))
    own = tuple(sorted(w.number for _, w in acked if led is not None and w.sent > led and w.number not in survivors))
    kept = [w.number for at, w in gone if copied is None or at <= copied]
    later = tuple(sorted(w.number for _, w in owed if kept and w.number in survivors and w.number > min(kept)))
    phantom = tuple(sorted(survivors - {w.number for w in ledger.writes}))
    if not owed:
        return Loss(None, lost, phantom, later, 0, everything=False, own=own)
    before = [at for at, _ in takewhile(lambda one: one[1].number in survivors, owed)]
    start = before[-1] if before else owed[0][0]
    return Loss(fault - start, lost, phantom, later, len(owed), everything=not before, own=own)


def store_losses(
    stores: tuple[StoreWrites, ...], struck: float | None, led: float | None = None
) -> tuple[tuple[str, Loss | None], ...]:
    """Return the loss of the ledger of each store; None where nothing was acknowledged or read back.

    It counts from the last acknowledgement of that ledger before the strike: the pause of a slow client is no loss.
    `led`: see `measure_loss`.
    """
    found: list[tuple[str, Loss | None]] = []
    for store in stores:
        fault = None if struck is None else fault_moment(store.ledger, struck)
        measured = fault is not None and store.survivors is not None
        survivors = store.survivors or frozenset()
        loss = measure_loss(store.ledger, survivors, fault or 0.0, store.copied, led) if measured else None
        found.append((store.name, loss))
    return tuple(found)


def worst_rpo(losses: Iterable[Loss | None]) -> float | None:
    """Return the largest RPO of all ledgers in seconds, None when one of them was not measured."""
    found = [loss.rpa if loss else None for loss in losses]
    measured = [rpa for rpa in found if rpa is not None]
    return max(measured) if len(measured) == len(found) else None
