"""Which site serves the public name, seen from outside."""

from __future__ import annotations

from harness.core.service import PublicDoor
from harness.patience import PATIENCE

SITE_HEADER = "X-Site"  # set by the gateway of each site on all it answers
SITE_PATH = "/.gateway/ping"  # answered by the gateway itself, whatever stands behind it


def served_by(door: PublicDoor) -> str | None:
    """Return the name of the site whose gateway answers a new connection; None when an answer names none.

    Raises OSError when there is no answer.
    """
    return door.request("GET", SITE_PATH, patience=PATIENCE.site_probe).headers.get(SITE_HEADER.lower())
