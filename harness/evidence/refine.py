"""Message 2.10: proposed changes to the procedure, each with the evidence for it."""

from dataclasses import dataclass

from harness.core.record import DrillRecord

SLOW = 0.30  # share of the RTO that makes a phase worth a look
SHOWN = 5  # writes that are named
NEAR = 0.80  # share of a budget that is nearly all of it


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change, and what in the record speaks for it."""

    change: str
    evidence: str


def refine(record: DrillRecord) -> tuple[Proposal, ...]:
    """Return what to change: what was slow, skipped, passed over, lost, or nearly over budget."""
    proposals = []
    for phase in record.phases:
        if record.rto and phase.took > SLOW * record.rto:
            share = 100 * phase.took / record.rto
            proposals.append(Proposal(f"shorten phase {phase.name}", f"{phase.took:.1f} s, {share:.0f} % of the RTO"))
    for name, found in (("rto", record.rto), ("rpo", record.rpo), ("exposure", record.exposure)):
        budget = record.promise.get(f"{name}_s")
        if found is not None and isinstance(budget, float | int) and budget and found > NEAR * budget:
            word = "restore the promise of" if found > budget else "make room in the budget of"
            proposals.append(Proposal(f"{word} {name.upper()}", f"{found:.1f} s of {budget:g} s"))
    if record.mode == "drill":  # what a restore test leaves out by its nature is no change to propose
        proposals += [Proposal("drill what was left out", what) for what in record.not_drilled]
    proposals += [Proposal(f"find out why backup {b} is damaged", reason) for b, reason in record.passed_over]
    if record.lost:
        gap = f"{len(record.lost)} acknowledged writes lost, first {record.lost[0]}"
        proposals.append(Proposal("shorten the time between backups, or archive WAL", gap))
    if record.diverged:
        named = ", ".join(map(str, record.diverged[:SHOWN])) + (" ..." if len(record.diverged) > SHOWN else "")
        proposals.append(Proposal("enter by hand what only the old primary took", f"writes {named}"))
    if record.lost_objects:
        proposals.append(Proposal("speed up object replication", f"{len(record.lost_objects)} objects had not arrived"))
    return tuple(proposals)
