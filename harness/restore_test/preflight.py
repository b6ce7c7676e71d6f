"""Preflight: refuses a restore test on a DR site in use: after a real failover, the allowed site serves clients."""

from collections.abc import Sequence

from psycopg.sql import Identifier

from harness.core.errors import Refused, UsageError
from harness.core.node import Address, Site
from harness.core.service import Place, PublicDoor, Service
from harness.pem import fingerprint
from harness.postgres.identity import MAINTENANCE, TEMPLATE, occupied
from harness.repository.catalogue import CommittedBackup
from harness.repository.format.recipients import read_private
from harness.substrate.existing.site import ExistingSite
from harness.traffic.door import SITE_HEADER, SITE_PATH, served_by
from harness.vault import read_secret

SHOWN = 12  # hex digits of a fingerprint


def require_recipient(private_ref: str, committed: Sequence[CommittedBackup]) -> None:
    """Refuse a key that opens no backup. Raises UsageError: it is no key, or another one's."""
    mine = fingerprint(read_private(read_secret(private_ref)).public_key())
    known = {name for entry in committed for name in entry.recipients}
    if known and mine not in known:
        raise UsageError(
            f"{private_ref.removeprefix('file:')}: this key ({mine[:SHOWN]}) opens no backup; they are sealed to "
            f"{', '.join(sorted(one[:SHOWN] for one in known))}; give the private key of one of these"
        )


def require_no_service_running(site: Site, services: Sequence[Service]) -> None:
    """Refuse a site with running services. Raises Refused; UsageError, HarnessError for one that cannot be checked."""
    if not isinstance(site, ExistingSite):
        return
    if running := [service.name for service in services if site.serves(service.name)]:
        raise Refused(
            f"site {site.name} is in use: {', '.join(running)} runs there; nothing was written to it. "
            "Stop them before a restore test"
        )


def require_empty(place: Place) -> None:
    """Refuse a database server that is not empty: the test would remove its data or fail; raises Refused."""
    if present := occupied(place.sql):
        raise Refused(
            f"site {place.site.name} is in use: it has the database {', '.join(present)}; nothing was written to it. "
            f"If a killed restore test left it: `blackstart sweep`, or {'; '.join(map(_remedy, present))}"
        )


def _remedy(name: str) -> str:
    if name in (MAINTENANCE, TEMPLATE):
        return f"drop what was made in {name}"
    quoted = Identifier(name).as_string()
    return f"ALTER DATABASE {quoted} IS_TEMPLATE false; DROP DATABASE {quoted} WITH (FORCE)"


def require_own_gateway(door: PublicDoor, site: str, address: Address) -> None:
    """Refuse a gateway of another site, because key functions write. Raises Refused, OSError without an answer."""
    by = served_by(door)
    if by != site:
        found = f"of site {by}" if by else "of an unnamed site"
        raise Refused(
            f"the gateway at {address} is {found}, not of {site}; "
            f"correct its address, or have it answer {SITE_PATH} with the header {SITE_HEADER}: {site}"
        )
