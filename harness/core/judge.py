"""The verdict: pure functions from what was seen. RTO and RPO are defined here and nowhere else.

`fault` is the last acknowledgement that clients had before the strike. `RTA = key - fault`, `key` being the
moment at which every key function had passed through the front door and held. `RPA = fault - t*`, `t*` being
the acknowledgement of the newest write such that it and every earlier one survived.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.core.budget import Promise
from harness.core.ledger import Ledger, Write

SILENCE = 2.0  # seconds without an acknowledgement before the strike after which nothing was being measured
UNATTRIBUTED = 0.01  # share of the total that may belong to no phase
UNATTRIBUTED_FLOOR = 0.25  # seconds: below this the clock's own noise is larger than the share


class Verdict(StrEnum):
    """A drill that could not be judged is not one that passed."""

    KEPT = "KEPT"
    BROKEN = "BROKEN"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of the recovery: seconds after the fault at which it began and ended."""

    name: str
    begin: float
    end: float

    @property
    def took(self) -> float:
        """Seconds."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Loss:
    """What of the ledger is not in the recovered system, by number, and RPA in seconds.

    `rpa` is None when there is nothing to measure against. `everything`: not one write survived, so that
    `rpa` is only a lower bound.
    """

    rpa: float | None
    lost: tuple[int, ...]
    phantom: tuple[int, ...]
    out_of_order: tuple[int, ...]
    acknowledged: int
    everything: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a drill saw. Times are monotonic seconds; None is `not seen`.

    `struck`: when the strike began; `witnessed`: clients that succeeded before failed after;
    `key`: every key function held; `survivors`: numbers found in the recovered system; `exposure`: seconds,
    the largest gap between snapshots of valid backups; `missing`: steps that should have run and did not;
    `findings`: promises broken outside RTO, RPO and exposure; `checks`: how many assertions were made.
    """

    promise: Promise
    struck: float | None
    witnessed: bool
    key: float | None
    ledger: Ledger
    survivors: frozenset[int] | None
    exposure: float | None
    phases: tuple[Phase, ...]
    missing: tuple[str, ...]
    findings: tuple[str, ...]
    checks: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, why, and the figures in seconds."""

    verdict: Verdict
    reasons: tuple[str, ...]
    rto: float | None
    rpo: float | None
    exposure: float | None
    loss: Loss | None


def fault_moment(ledger: Ledger, struck: float) -> float | None:
    """Return the last success that clients had before the strike, or None when there was none."""
    write = ledger.last_before(struck)
    return write.acked if write else None


def measure_loss(ledger: Ledger, survivors: frozenset[int], fault: float) -> Loss:
    """Compare what was acknowledged up to `fault` with what survived."""
    owed = tuple(w for w in ledger.acknowledged() if w.acked is not None and w.acked <= fault)
    lost = tuple(sorted(w.number for w in owed if w.number not in survivors))
    newest: Write | None = None
    for write in owed:
        if write.number not in survivors:
            break
        newest = write
    later = tuple(sorted(w.number for w in owed if lost and w.number in survivors and w.number > lost[0]))
    phantom = tuple(sorted(survivors - {w.number for w in ledger.writes}))
    if not owed:
        return Loss(None, lost, phantom, later, 0, everything=False)
    start = newest if newest else owed[0]
    rpa = fault - (start.acked if start.acked is not None else fault)
    return Loss(rpa, lost, phantom, later, len(owed), everything=newest is None)


def unattributed(phases: tuple[Phase, ...], total: float) -> float:
    """Return the seconds of `total` that no phase accounts for."""
    return max(0.0, total - sum(phase.took for phase in phases))


def doubts(evidence: Evidence, fault: float | None) -> tuple[str, ...]:
    """Return why nothing can be judged, if so."""
    reasons = []
    if evidence.struck is None:
        reasons.append("nothing was struck")
    elif fault is None or evidence.struck - fault > SILENCE:
        reasons.append("the ledger was silent before the strike")
    if evidence.struck is not None and not evidence.witnessed:
        reasons.append("the strike had no effect that a client saw")
    if evidence.survivors is None:
        reasons.append("what survived was not read")
    if evidence.exposure is None:
        reasons.append("the exposure was not measured")
    if evidence.checks == 0:
        reasons.append("nothing was asserted")
    reasons += [f"not done: {step}" for step in evidence.missing]
    return tuple(reasons)


def breaches(evidence: Evidence, rto: float | None, loss: Loss | None) -> tuple[str, ...]:
    """Return each broken promise in one line."""
    promise, found = evidence.promise, list(evidence.findings)
    if evidence.key is None and not evidence.missing:
        found.append("service was not restored: the key functions never held")
    if rto is not None and rto > promise.rto.total_seconds():
        found.append(f"RTO missed: {rto:.1f} s of {promise.rto.total_seconds():g} s")
    if loss is not None and loss.rpa is not None:
        names = ", ".join(str(n) for n in loss.lost[:5]) + (" ..." if len(loss.lost) > 5 else "")  # noqa: PLR2004
        if loss.everything:
            found.append(f"RPO missed: none of {loss.acknowledged} acknowledged writes survived")
        elif loss.rpa > promise.rpo.total_seconds():
            found.append(
                f"RPO missed: {loss.rpa:.1f} s of {promise.rpo.total_seconds():g} s, "
                f"{len(loss.lost)} acknowledged writes lost ({names})"
            )
        if loss.phantom:
            found.append(f"writes that were never sent are in the recovered system: {loss.phantom[:5]}")
        if loss.out_of_order:
            found.append(f"writes are missing while later ones survived: first {loss.lost[0]}")
    if evidence.exposure is not None and evidence.exposure > promise.exposure.total_seconds():
        found.append(f"exposure too large: {evidence.exposure:.0f} s of {promise.exposure.total_seconds():g} s")
    return tuple(found)


def judge(evidence: Evidence) -> Judgement:
    """Return the verdict. A breach that was seen is BROKEN even where something else is in doubt."""
    fault = None if evidence.struck is None else fault_moment(evidence.ledger, evidence.struck)
    rto = None if fault is None or evidence.key is None else evidence.key - fault
    loss = None
    if fault is not None and evidence.survivors is not None:
        loss = measure_loss(evidence.ledger, evidence.survivors, fault)
    reasons = list(doubts(evidence, fault))
    if rto is not None:
        gap = unattributed(evidence.phases, rto)
        if gap > max(UNATTRIBUTED * rto, UNATTRIBUTED_FLOOR):
            reasons.append(f"{gap:.2f} s of the recovery belong to no phase")
    broken = breaches(evidence, rto, loss)
    verdict = Verdict.UNKNOWN if reasons else Verdict.KEPT
    if broken and (evidence.witnessed or evidence.findings):
        verdict = Verdict.BROKEN
    return Judgement(verdict, (*broken, *reasons), rto, loss.rpa if loss else None, evidence.exposure, loss)
