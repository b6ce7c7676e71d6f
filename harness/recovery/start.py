"""Start of the services on the DR site, and checks of their secrets and database connections."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.clock import NotYet, wait_until
from harness.core.contents import Contents
from harness.core.errors import Finding, TookTooLong
from harness.core.journal import Journal
from harness.core.parallel import in_parallel
from harness.core.service import Service, Sql
from harness.estate.site import EstateSite, NodeStatus, in_order
from harness.patience import PATIENCE
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


@dataclass(frozen=True, slots=True)
class Unconnected:
    """A service without a session in one of its databases. `sessions`: how many that database had had by then."""

    service: str
    database: str
    role: str
    sessions: int


def find_connections(
    sql: Sql,
    services: Sequence[Service],
    contents: Contents,
    journal: Journal,
    messages: Mapping[str, tuple[str, str]],
    left: int = 0,
) -> tuple[Unconnected, ...]:
    """Journal the connection of each service on the DR database server; return those that have none yet.

    A service may connect at its first request: `require_connections` asks again. `left`: the timeline that a server
    restored from a base backup left, which has the primary's identifier. Raises Finding when the server is the
    primary's, or when a service's database was not restored.
    """
    here = system_facts(sql)
    if here.identifier == contents.system.identifier and (not left or here.timeline <= left):
        raise Finding(f"the services use database system {here.identifier} of the primary, not of the DR site")
    owners = {database.name: database.owner for database in contents.databases}
    waiting = []
    for service in services:
        sources = service.sources()
        for database in sources.databases:
            if database not in owners:
                raise Finding(f"{service.name}: its database {database} is not in the backup, and not on the DR server")
            one = Unconnected(service.name, database, sources.role or owners[database], checks.sessions(sql, database))
            if not _is_connected(sql, one, journal, messages):
                waiting.append(one)
    return tuple(waiting)


def require_connections(
    sql: Sql, waiting: Sequence[Unconnected], journal: Journal, messages: Mapping[str, tuple[str, str]]
) -> None:
    """Require that each of these services has connected since, also if it has disconnected again; raises Finding."""
    for one in waiting:

        def asked(one: Unconnected = one) -> None:
            if not _is_connected(sql, one, journal, messages):
                raise NotYet("no session")

        try:
            wait_until(asked, patience=PATIENCE.service_connected, what=f"{one.service}: connected")
        except TookTooLong:
            raise Finding(
                f"{one.service} is not connected to database {one.database} on the DR server as {one.role}, and did "
                "not connect while its key functions ran"
            ) from None


def _is_connected(sql: Sql, one: Unconnected, journal: Journal, messages: Mapping[str, tuple[str, str]]) -> bool:
    seen = checks.connected(sql, one.database, one.role)
    if not seen and (count := checks.sessions(sql, one.database) - one.sessions) > 0:
        seen = (f"{count} sessions, closed again",)
    if seen:
        number = messages.get(one.service, ("", ""))[1]
        journal.mark("connected", one.service, message=number, database=one.database, backends=", ".join(seen))
    return bool(seen)
