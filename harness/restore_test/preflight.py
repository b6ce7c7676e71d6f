"""Preflight: refuses to run a restore test on a DR site that is in use.

The interlock says which site it is; after a real failover that same site serves clients.
"""

from collections.abc import Sequence

from harness.core.errors import Refused
from harness.core.node import Address, Site
from harness.core.service import Place, PublicDoor, Service
from harness.postgres.identity import databases
from harness.substrate.existing.site import ExistingSite
from harness.traffic.door import SITE_HEADER, SITE_PATH, served_by


def require_no_service_running(site: Site, services: Sequence[Service]) -> None:
    """Refuse a site whose services run: it may have taken over from the primary.

    Raises Refused, UsageError or another HarnessError where that cannot be seen.
    """
    if not isinstance(site, ExistingSite):
        return
    if running := [service.name for service in services if site.serves(service.name)]:
        raise Refused(
            f"site {site.name} is in use: {', '.join(running)} runs there; nothing was written to it. "
            "A restore test needs them stopped"
        )


def require_empty(place: Place) -> None:
    """Refuse a database server that holds anything: the test would remove it, or fail on it. Raises Refused."""
    if held := databases(place.sql):
        raise Refused(
            f"site {place.site.name} is in use: it holds the database {', '.join(held)}; nothing was written to it. "
            "Drop it if a killed restore test left it"
        )


def require_own_gateway(door: PublicDoor, site: str, address: Address) -> None:
    """Refuse a gateway that is not the site's own: key functions write. Raises Refused, OSError without an answer."""
    by = served_by(door)
    if by != site:
        found = f"of site {by}" if by else "of a site that it does not name"
        raise Refused(
            f"the gateway at {address} is {found}, not of {site}; "
            f"correct its address, or have it answer {SITE_PATH} with the header {SITE_HEADER}: {site}"
        )
