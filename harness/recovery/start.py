"""Start of the services on the DR site, and checks of their secrets and database connections."""

import hashlib
from collections.abc import Mapping, Sequence

from harness.core.contents import Contents
from harness.core.errors import Finding
from harness.core.journal import Journal
from harness.core.parallel import in_parallel
from harness.core.service import Service, Sql
from harness.estate.site import EstateSite, NodeStatus, in_order
from harness.postgres import checks
from harness.postgres.identity import system_facts
from harness.vault import read_secret


def fingerprint_of(reference: str) -> str:
    """Return the fingerprint of a secret, the SHA-256 of its value, hex. Raises UsageError."""
    return hashlib.sha256(read_secret(reference)).hexdigest()


def require_fingerprints(secrets: Mapping[str, str], expected: Sequence[tuple[str, str]]) -> None:
    """Raise Finding when a secret of the DR site differs from the one at backup time."""
    for name, fingerprint in expected:
        if name not in secrets:
            raise Finding(f"secret {name} is not on the DR site; the backup needs {fingerprint[:12]}")
        found = fingerprint_of(secrets[name])
        if found != fingerprint:
            raise Finding(
                f"secret {name} on the DR site has fingerprint {found[:12]}, the backup was made with "
                f"{fingerprint[:12]}; replace it with the right one; data encrypted with it cannot be read otherwise"
            )


def start_all(
    site: EstateSite, services: Sequence[Service], journal: Journal, messages: Mapping[str, tuple[str, str]]
) -> tuple[NodeStatus, ...]:
    """Start services in the order of `needs`, in parallel where independent; return statuses. Raises HarnessError."""
    statuses: list[NodeStatus] = []
    for wave in in_order(services):
        for service in wave:
            journal.mark("starting", service.name, message=messages.get(service.name, ("", ""))[0])
        done = in_parallel({s.name: lambda s=s: site.start_service(s) for s in wave})  # type: ignore[misc]
        for status in done.values():
            journal.mark("status", status.node, ready=status.ready, detail=status.detail)
        statuses += done.values()
    return tuple(statuses)


def require_connections(
    sql: Sql, services: Sequence[Service], contents: Contents, journal: Journal, messages: Mapping[str, tuple[str, str]]
) -> None:
    """Check on the DR database server that each service is connected to it; raises Finding."""
    here = system_facts(sql).identifier
    if here == contents.system.identifier:
        raise Finding(f"the services use database system {here} of the primary, not of the DR site")
    owners = {database.name: database.owner for database in contents.databases}
    for service in services:
        for database in service.sources().databases:
            seen = checks.connected(sql, database, owners[database])
            if not seen:
                raise Finding(f"{service.name} is not connected to database {database} on the DR server")
            number = messages.get(service.name, ("", ""))[1]
            journal.mark("connected", service.name, message=number, system=here, backends=", ".join(seen))
