"""Checks of self-healing clusters, and of the egress filter around DR."""

from harness.core.clock import NotYet, wait_until
from harness.core.errors import Finding, HarnessError
from harness.drill.drill import Drill
from harness.patience import PATIENCE
from harness.scenario.faults.cluster import cluster_of
from harness.traffic.door import served_by

IN_A_ROW = 10  # acknowledged writes in a row after which clients count as served again


def require_served_again(drill: Drill) -> None:
    """Wait until the primary answers clients and acknowledges ten writes in a row; raises TookTooLong."""
    before = len(drill.ledger.ledger.writes)

    def served() -> None:
        if (by := served_by(drill.environment.door)) != "primary":
            raise NotYet(f"clients are answered by {by}")
        since = [write.acked for write in drill.ledger.ledger.writes[before:]]
        while since and since[-1] is None:  # no answer yet
            since.pop()
        if len(since) < IN_A_ROW or None in since[-IN_A_ROW:]:
            raise NotYet("clients' writes are not acknowledged")

    wait_until(served, patience=PATIENCE.cluster_heals, on=(NotYet, OSError), what="clients served again")


def require_egress_filtered(drill: Drill) -> None:
    """Check that a pod of DR cannot reach an address that its node reaches. Raises Finding, HarnessError."""
    from harness.substrate.docker.egress import gateway_of  # noqa: PLC0415 - clients of engines and clusters are slow to import
    from harness.substrate.kind.substrate import Kind  # noqa: PLC0415

    substrate = drill.environment.substrate
    if not isinstance(substrate, Kind):
        raise HarnessError("no clusters: the egress filter of DR cannot be tested; run with --substrate=kind")
    outside = gateway_of(substrate.around.owned.outside)
    proof = cluster_of(drill.environment.dr).prove_egress_filter(outside)
    drill.journal.mark("egress filtered", "dr cluster", proof=proof)


def require_none_lost(drill: Drill) -> None:
    """Raise Finding with the numbers of lost writes, HarnessError without a client load."""
    if drill.writer is None or drill.load is None:
        raise HarnessError("no client load was running: no write was acknowledged")
    drill.writer.stop()
    found = drill.load.survivors(drill.environment.door, drill.environment.secrets.of("clients"))
    lost = [entry.number for entry in drill.ledger.ledger.acknowledged() if entry.number not in found]
    if lost:
        raise Finding(f"acknowledged writes are lost: {', '.join(map(str, lost))}")
