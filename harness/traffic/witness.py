"""Which site serves the public name, seen from outside."""

from __future__ import annotations

from harness.core.service import PublicDoor

SITE_HEADER = "X-Site"  # set by the gateway of each site on all it answers
SITE_PATH = "/.gateway/ping"  # answered by the gateway itself, whatever stands behind it
PATIENCE = 5.0


def served_by(door: PublicDoor) -> str | None:
    """Return the name of the site whose gateway answers a new connection; None when an answer names none.

    Raises OSError when there is no answer.
    """
    return door.request("GET", SITE_PATH, patience=PATIENCE).headers.get(SITE_HEADER.lower())
