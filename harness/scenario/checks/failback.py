"""Checks of a failback: the recovery before it, and that nothing written to DR is lost."""

from harness.core.record import DrillRecord
from harness.drill.drill import Drill
from harness.scenario.checks.verdict import require, require_verdict


def recovered(drill: Drill) -> Drill:
    """Back up, destroy the primary, recover on DR and conclude; return the drill. Raises Finding unless it is KEPT."""
    drill.back_up()
    drill.strike()
    drill.recover()
    require_verdict(drill.conclude(), "KEPT")
    return drill


def require_nothing_lost(record: DrillRecord) -> None:
    """Raise Finding unless every ledger was read back whole."""
    require(record.ledgers, "no ledger was written on the DR site")
    for one in record.ledgers:
        require(one.acknowledged and one.lost is not None, f"ledger {one.name}: nothing was measured")
        require(not one.lost, f"ledger {one.name}: writes {one.lost} to the DR site are lost")
