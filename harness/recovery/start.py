"""Starting the services of a site, proving where they are connected, testing their key functions."""

from __future__ import annotations

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


def require_fingerprints(secrets: Mapping[str, str], expected: Sequence[tuple[str, str]]) -> None:
    """Raise Finding when a secret of the DR site is not the one that the backup was made with."""
    for name, fingerprint in expected:
        if name not in secrets:
            raise Finding(f"secret {name} is not on the DR site; the backup needs {fingerprint[:12]}")
        found = hashlib.sha256(read_secret(secrets[name])).hexdigest()
        if found != fingerprint:
            raise Finding(
                f"secret {name} on the DR site has fingerprint {found[:12]}, the backup was made with "
                f"{fingerprint[:12]}; put the right one there: what it encrypts cannot be read without it"
            )


def start_all(
    site: EstateSite, services: Sequence[Service], journal: Journal, messages: Mapping[str, tuple[str, str]]
) -> tuple[NodeStatus, ...]:
    """Start services in the order of their needs, side by side where independent; return their statuses."""
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
    sql: Sql,
    services: Sequence[Service],
    contents: Contents,
    journal: Journal,
    messages: Mapping[str, tuple[str, str]],
) -> None:
    """Prove from the DR server's side that each service is connected to it; raises Finding."""
    here = system_facts(sql).identifier
    if here == contents.system.identifier:
        raise Finding(f"the services are on system {here}: that is the primary's, not the DR site's")
    owners = {database.name: database.owner for database in contents.databases}
    for service in services:
        for database in service.sources().databases:
            seen = checks.connected(sql, database, owners[database])
            if not seen:
                raise Finding(f"{service.name} is not connected to database {database} on the DR server")
            number = messages.get(service.name, ("", ""))[1]
            journal.mark("connected", service.name, message=number, system=here, backends=", ".join(seen))
