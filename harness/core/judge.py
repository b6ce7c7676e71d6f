"""Verdict on drills and restore tests, by pure functions. RTO is defined only here, RPO in `loss`.

`fault`: time of the last acknowledgement before the strike. `RTA = key - fault`; `key`: time at which every key
function had passed in all rounds through the front door.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from harness.core.errors import REPORTED, Finding, MissingPart, Refused, UsageError
from harness.core.ledger import CLIENTS, Ledger
from harness.core.loss import Loss, StoreWrites, fault_moment, measure_loss, store_losses, worst_rpo

SWITCH = "switch"  # the phase that leads clients to the DR site: from its begin on they may write there
RECOVERY_PHASES = ("activate", "select", "fetch", "open", "restore", "db", "app", "switch", "key")
SHOWN = 5  # lost writes listed in one reason

SILENCE = 2.0  # seconds without an acknowledgement before the strike that make the result inconclusive
STORE_SILENCE = 30.0  # the same for the ledger of a store: a write a second, each of which may take ten
UNATTRIBUTED = 0.01  # share of the total time that may lie outside all phases
UNATTRIBUTED_FLOOR = 0.25  # seconds: a smaller gap is within clock noise


@dataclass(frozen=True, slots=True)
class Promise:
    """A named RTO and RPO budget. `exposure`: the largest gap between snapshots of valid backups.

    `missing_files`: how many files that a database refers to may be absent from what was restored.
    """

    name: str
    rto: timedelta
    rpo: timedelta
    exposure: timedelta
    owner: str
    reason: str
    missing_files: int = 0


class Verdict(StrEnum):
    """Verdict of a drill. UNKNOWN, not judged, is not a pass."""

    KEPT = "KEPT"
    BROKEN = "BROKEN"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of the recovery; times are after the fault."""

    name: str
    begin_seconds: float
    end_seconds: float

    @property
    def took(self) -> float:
        """Seconds."""
        return self.end_seconds - self.begin_seconds


@dataclass(frozen=True, slots=True)
class Clients:
    """Observations of the client load. Times are monotonic seconds; None: not observed."""

    ledger: Ledger
    struck: float | None  # begin of the strike
    witnessed: bool  # whether requests failed after it
    survivors: frozenset[int] | None  # numbers of its writes in the recovered system
    stores: tuple[StoreWrites, ...] = ()  # every other ledger of the drill


@dataclass(frozen=True, slots=True)
class Evidence:
    """Observations of a drill or restore test. Times are monotonic seconds; None: not observed."""

    promise: Promise
    clients: Clients | None = None  # None for a restore test, whose time counts from `activated`
    activated: float | None = None
    key: float | None = None  # time at which every key function had passed
    exposure: float | None = None  # seconds, the largest gap between snapshots of valid backups
    phases: tuple[Phase, ...] = ()
    missing_files: int = 0  # referenced files and objects that are missing on the DR site
    uncovered: tuple[str, ...] = ()  # what is in no backup and is not excluded
    missing: tuple[str, ...] = ()  # steps that did not run
    findings: tuple[str, ...] = ()  # promises broken outside RTO, RPO and exposure
    doubts: tuple[str, ...] = ()  # what could not be carried out
    checks: int = 0  # number of assertions

    @property
    def origin(self) -> float | None:
        """Start of the recovery time: the fault, or the activation in a restore test."""
        if self.clients is None:
            return self.activated
        return None if self.clients.struck is None else fault_moment(self.clients.ledger, self.clients.struck)

    @property
    def led(self) -> float | None:
        """When clients had been led to the DR site, None when they were not."""
        ends = [phase.end_seconds for phase in self.phases if phase.name == SWITCH]
        return self.origin + ends[-1] if self.origin is not None and ends else None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdict, reasons, and figures in seconds."""

    verdict: Verdict
    reasons: tuple[str, ...]
    rto: float | None
    rpo: float | None
    exposure: float | None
    loss: Loss | None
    stores: tuple[tuple[str, Loss | None], ...] = ()  # of every other ledger by name; None: not measured


def exposure(snapshots: Iterable[datetime], until: datetime, window: timedelta) -> float | None:
    """Return the largest gap in seconds between snapshots that ends in the window or at `until`, None without any."""
    taken = sorted(s for s in snapshots if s <= until)
    if not taken:
        return None
    moments = [*taken, until]
    start = until - window
    return max(
        (later - earlier).total_seconds() for earlier, later in pairwise(moments) if later > start or later == until
    )


def unattributed(phases: tuple[Phase, ...], total: float) -> float:
    """Return the seconds of `total` outside all phases."""
    return max(0.0, total - sum(phase.took for phase in phases))


def is_finding(error: BaseException, phase: str) -> bool:
    """Return whether an error that ended `phase` is a finding (the estate broke a promise) and not a doubt.

    `phase`: of the recovery, "" outside it. A failed recovery is a finding for every cause: DR site, backups
    or services did not work. A refusal by a guard, an invalid command and a missing program are doubts, and so is any
    error outside the recovery.
    """
    if isinstance(error, Refused | UsageError | MissingPart):
        return False
    if isinstance(error, Finding):
        return True
    return phase in RECOVERY_PHASES and isinstance(error, REPORTED)


def doubts(evidence: Evidence, origin: float | None) -> tuple[str, ...]:
    """Return the reasons for which the drill cannot be judged, one line each."""
    reasons, clients = list(evidence.doubts), evidence.clients
    if clients is not None:
        if clients.struck is None:
            reasons.append("no strike was carried out")
        elif origin is None or clients.struck - origin > SILENCE:
            reasons.append(f"no acknowledged write in the {SILENCE:g} s before the strike")
        if clients.struck is not None and not clients.witnessed:
            reasons.append("the strike had no effect on client requests")
        if clients.survivors is None:
            reasons.append("the surviving writes were not read")
        reasons += _unmeasured(clients)
    elif evidence.key is None and (evidence.findings or evidence.doubts):
        return tuple(reasons)  # a recovery that stopped skips the later steps
    if evidence.exposure is None:
        reasons.append("the exposure was not measured")
    if evidence.checks == 0:
        reasons.append("no assertion was made")
    reasons += [f"not covered by the backup: {line}" for line in evidence.uncovered]
    return (*reasons, *(f"not done: {step}" for step in evidence.missing))


def _unmeasured(clients: Clients) -> Iterator[str]:
    for store in clients.stores:
        fault = None if clients.struck is None else fault_moment(store.ledger, clients.struck)
        if clients.struck is not None and (fault is None or clients.struck - fault > STORE_SILENCE):
            yield f"ledger {store.name}: no acknowledged write in the {STORE_SILENCE:g} s before the strike"
        if store.survivors is None:
            yield f"ledger {store.name}: its surviving writes were not read"


def breaches(evidence: Evidence, took: float | None, losses: tuple[tuple[str, Loss | None], ...]) -> tuple[str, ...]:
    """Return one line for each broken promise. `took`: seconds from the origin to the passed key functions.

    `losses`: of each ledger, by name.
    """
    promise, found = evidence.promise, list(evidence.findings)
    if evidence.missing_files > promise.missing_files:
        found.append(
            f"{evidence.missing_files} referenced files or objects are not on the DR site, "
            f"{promise.missing_files} may be missing"
        )
    ended_by_doubt = bool(evidence.doubts) and not evidence.findings  # an interruption breaks no promise
    if evidence.clients is not None and evidence.key is None and not evidence.missing and not ended_by_doubt:
        found.append("service was not restored: the key functions did not pass")
    if took is not None and took > promise.rto.total_seconds():
        what = "RTO missed" if evidence.clients is not None else "RTO missed by the restore alone"
        found.append(f"{what}: {took:.1f} s of {promise.rto.total_seconds():g} s")
    for name, loss in losses:
        if loss is not None and loss.rpa is not None:
            found += _losses(promise, "" if name == CLIENTS else f"ledger {name}: ", loss, loss.rpa)
    if evidence.exposure is not None and evidence.exposure > promise.exposure.total_seconds():
        found.append(f"exposure too large: {evidence.exposure:.0f} s of {promise.exposure.total_seconds():g} s")
    return tuple(found)


def _losses(promise: Promise, ledger: str, loss: Loss, rpa: float) -> Iterator[str]:
    names = ", ".join(str(n) for n in loss.lost[:SHOWN]) + (" ..." if len(loss.lost) > SHOWN else "")
    if loss.everything:
        yield f"{ledger}RPO missed: none of {loss.acknowledged} acknowledged writes survived"
    elif rpa > promise.rpo.total_seconds():
        yield (
            f"{ledger}RPO missed: {rpa:.1f} s of {promise.rpo.total_seconds():g} s, "
            f"{len(loss.lost)} acknowledged writes lost ({names})"
        )
    if loss.phantom:
        yield f"{ledger}the recovered system contains writes that were never sent: {loss.phantom[:SHOWN]}"
    if loss.out_of_order:
        yield f"{ledger}writes are missing although later ones survived: first {loss.lost[0]}"
    if loss.own:
        yield f"{ledger}the DR site has lost writes that it acknowledged itself: {loss.own[:SHOWN]}"


def judge(evidence: Evidence) -> Judgement:
    """Return the judgement. An observed breach is BROKEN even when there are doubts."""
    origin, clients = evidence.origin, evidence.clients
    took = None if origin is None or evidence.key is None else evidence.key - origin
    loss, led = None, evidence.led
    if clients is not None and origin is not None and clients.survivors is not None:
        loss = measure_loss(clients.ledger, clients.survivors, origin, led=led)
    reasons = list(doubts(evidence, origin))
    if clients is not None and took is not None:
        gap = unattributed(evidence.phases, took)
        if gap > max(UNATTRIBUTED * took, UNATTRIBUTED_FLOOR):
            reasons.append(f"{gap:.2f} s of the recovery are outside all phases")
    stores = store_losses(clients.stores, clients.struck, led) if clients is not None else ()
    broken = breaches(evidence, took, ((CLIENTS, loss), *stores))
    verdict = Verdict.UNKNOWN if reasons else Verdict.KEPT
    if broken and (clients is None or clients.witnessed or evidence.findings):
        verdict = Verdict.BROKEN
    rto = took if clients is not None else None
    rpo = worst_rpo((loss, *(one for _, one in stores)))
    return Judgement(verdict, (*broken, *reasons), rto, rpo, evidence.exposure, loss, stores)
