"""Message 2.10: proposed changes to the procedure, each with the evidence for it."""

from dataclasses import dataclass

from harness.core.duration import figure, human
from harness.core.record import DrillRecord
from harness.evidence.report.view import view_of

SLOW = 0.30  # share of the RTO that makes a phase worth a look
SHOWN = 5  # writes that are named
NEAR = 0.80  # share of a budget that is nearly all of it
ARCHIVE = "shorten the time between backups, or archive WAL"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change, and what in the record speaks for it."""

    change: str
    evidence: str


def refine(record: DrillRecord) -> tuple[Proposal, ...]:
    """Return what to change: what was slow, skipped, passed over, lost, or nearly over budget."""
    view = view_of(record)
    proposals = []
    for phase in view.phases:
        if view.rto.measured and phase.took > SLOW * view.rto.measured:
            share = 100 * phase.took / view.rto.measured
            proposals.append(Proposal(f"shorten phase {phase.name}", f"{human(phase.took)}, {share:.0f} % of the RTO"))
    for one in (view.rto, view.rpo, view.exposure):
        if one.measured is not None and one.budget and one.measured > NEAR * one.budget:
            word = "make room in the budget of" if one.met else "restore the promise of"
            proposals.append(Proposal(f"{word} {one.name}", f"{figure(one.measured)} of {human(one.budget)}"))
    if view.mode == "drill":  # what a restore test leaves out by its nature is no change to propose
        proposals += [Proposal("drill what was left out", what) for what in view.not_drilled]
    proposals += [Proposal(f"find out why backup {b} is damaged", reason) for b, reason in view.passed_over]
    lost = [f"{len(one.lost)} of {one.name}, first {one.lost[0]}" for one in view.ledgers if one.lost]
    if lost:
        gap = f"acknowledged writes lost: {'; '.join(lost)}"
        shipped = record.backup.get("mode") in ("physical", "standby", "rewound")
        change = "shorten [backup] wal_seconds, or replicate objects sooner" if shipped else ARCHIVE
        proposals.append(Proposal(change, gap))
    if view.diverged:
        named = ", ".join(map(str, view.diverged[:SHOWN])) + (" ..." if len(view.diverged) > SHOWN else "")
        proposals.append(Proposal("enter by hand what only the old primary took", f"writes {named}"))
    if view.lost_objects:
        proposals.append(Proposal("speed up object replication", f"{len(view.lost_objects)} objects had not arrived"))
    return tuple(proposals)
