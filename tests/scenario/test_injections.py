"""Faults are injected into an estate in memory where it can have them, and the witness of each sees it."""

from __future__ import annotations

import pytest

from harness.drill.drill import Drill
from harness.scenario.faults.catalog import CATALOG
from harness.scenario.faults.fault import Fault, Scene, When, inject
from tests.memory_drill import start

# They need a real store, a real front door, a database that is being dumped, the WAL of a server, a standby, the
# witness of DR, or the repository of another estate.
IN_DRILLS = {
    "a database killed during the dump",
    "an unreachable offsite store",
    "an offsite store killed during the dump",
    "a full offsite store",
    "a table that is locked for three seconds",
    "a bad configuration",
    "a missing segment of WAL",
    "ransom: all that is newer is encrypted",
    "the loss of all that it has seen",
    "the death of its follower",
    "a flipped bit in its data",
}
LATE = (When.BEFORE_RECOVERY, When.AFTER_SELECTION, When.AFTER_RESTORE)
HERE = [
    fault
    for fault in CATALOG.values()
    if "embedded" in fault.substrates and fault.when is not When.BEFORE_RESTORE_TEST and fault.phrase not in IN_DRILLS
]


@pytest.mark.parametrize("fault", HERE, ids=lambda fault: fault.phrase)
def test_a_fault_is_seen_by_its_witness(drill: Drill, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.fault_seen", 0.3)
    start(drill)
    drill.back_up()
    if fault.when in LATE:
        drill.strike()
        selected = drill.select()
        if fault.when is When.AFTER_RESTORE:
            drill.restore(selected)
    scene = Scene(drill)
    inject(fault, scene)
    scene.undo()
    drill.close()
