"""Whether somebody uses a site that a restore drill is to work on: what is cleared away afterwards must be the drill's.

The interlock says which site it is; after a real failover the listed one serves clients.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.errors import Refused
from harness.core.node import Address, Site
from harness.core.service import Place, PublicDoor, Service
from harness.postgres.identity import databases
from harness.substrate.existing.site import ExistingSite
from harness.traffic.witness import SITE_HEADER, SITE_PATH, served_by


def require_nobody_served(site: Site, services: Sequence[Service]) -> None:
    """Refuse a site whose services run: it has taken over.

    Raises Refused, UsageError or another HarnessError where that cannot be seen.
    """
    if not isinstance(site, ExistingSite):
        return
    if running := [service.name for service in services if site.serves(service.name)]:
        raise Refused(
            f"site {site.name} is in use: {', '.join(running)} runs there; nothing was written to it. "
            "A drill starts from services at rest"
        )


def require_empty(place: Place) -> None:
    """Refuse a database server that holds anything: the drill would clear it away, or fail on it. Raises Refused."""
    if held := databases(place.sql):
        raise Refused(
            f"site {place.site.name} is in use: it holds the database {', '.join(held)}; nothing was written to it. "
            "Drop what a killed drill left, or leave the site alone"
        )


def require_own_gateway(door: PublicDoor, site: str, address: Address) -> None:
    """Refuse a gateway that is not the site's own: key functions write, and it may be production's.

    Raises Refused, OSError where nobody answers.
    """
    by = served_by(door)
    if by != site:
        found = f"of site {by}" if by else "of a site that it does not name"
        raise Refused(
            f"the gateway at {address} is {found}, not of {site}; "
            f"correct its address, or have it answer {SITE_PATH} with the header {SITE_HEADER}: {site}"
        )
