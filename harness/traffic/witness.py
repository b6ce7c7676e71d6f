"""Probe from outside: which site serves the public name."""

from harness.core.service import PublicDoor
from harness.patience import PATIENCE

SITE_HEADER = "X-Site"  # set by each site's gateway on every answer
SITE_PATH = "/.gateway/ping"  # answered by the gateway itself, even if the services behind it are down


def served_by(door: PublicDoor) -> str | None:
    """Return the name of the site whose gateway answers a new connection, None if the answer names no site.

    Raises OSError when there is no answer.
    """
    return door.request("GET", SITE_PATH, patience=PATIENCE.site_probe).headers.get(SITE_HEADER.lower())
