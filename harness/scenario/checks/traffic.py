"""Check of the site that answers clients."""

from __future__ import annotations

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.drill.drill import Drill
from harness.patience import PATIENCE
from harness.traffic.witness import served_by


def require_served_by(drill: Drill, site: str) -> None:
    """Wait until that site answers clients over new connections; raises TookTooLong."""

    def answered() -> None:
        if (by := served_by(drill.environment.door)) != site:
            raise NotYet(f"clients are answered by {by}, not by {site}")

    wait_until(
        answered, patience=PATIENCE.served_by, on=(NotYet, HarnessError, OSError), what=f"clients served by {site}"
    )
