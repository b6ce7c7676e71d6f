"""Checks of who answers clients."""

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.drill.drill import Drill
from harness.patience import PATIENCE
from harness.traffic.door import served_by


def require_served_by(drill: Drill, site: str) -> None:
    """That site answers clients, over new connections. Raises TookTooLong."""

    def answered() -> None:
        if (by := served_by(drill.environment.door)) != site:
            raise NotYet(f"clients are answered by {by}, not by {site}")

    wait_until(
        answered, patience=PATIENCE.served_by, on=(NotYet, HarnessError, OSError), what=f"clients served by {site}"
    )
