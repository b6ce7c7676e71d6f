"""Catalogue of all faults by phrase. `blackstart faults` prints it."""

import difflib
from collections.abc import Mapping

from harness.core.errors import UsageError
from harness.scenario.faults import backup, cluster, recovery, restore_test, site, standby, stored_backup
from harness.scenario.faults.fault import Fault

GROUPS = (backup, stored_backup, recovery, site, cluster, standby, restore_test)
CATALOG: Mapping[str, Fault] = {fault.phrase: fault for group in GROUPS for fault in group.FAULTS}


def find(phrase: str) -> Fault:
    """Return the fault with that phrase; raises UsageError with the nearest known phrase."""
    if phrase not in CATALOG:
        near = difflib.get_close_matches(phrase, CATALOG, n=1, cutoff=0.0)
        raise UsageError(f"no fault {phrase!r} in the catalogue; the nearest is {near[0]!r} (see `blackstart faults`)")
    return CATALOG[phrase]
