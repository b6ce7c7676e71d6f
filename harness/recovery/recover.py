"""The real disaster: recovery by hand, with nothing left but the offsite store, the DR secrets and the declaration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import requests

from harness.core.errors import HarnessError, Refused, UsageError
from harness.core.journal import Journal
from harness.core.node import Address
from harness.core.record import KeyResult
from harness.estate.config import Config
from harness.estate.registry import build_services, sinks_of, start_messages
from harness.estate.secrets import Secrets
from harness.estate.site import EstateSite
from harness.estate.state_file import Live, repository_at, site_of
from harness.recovery.containment import let_go
from harness.recovery.recovery import Recovery
from harness.recovery.traffic_switch import open_edge
from harness.repository.catalogue import Repository
from harness.substrate.embedded.substrate import Embedded

NOWHERE = Address("127.0.0.1", 9)  # the discard port: until the switch the front door leads to nothing
WITNESSES = 3  # answers in a row that must fail before the primary is called down


@dataclass(frozen=True, slots=True)
class Recovered:
    """What stands after the recovery. `seconds`: from the command to the last key function that held."""

    live: Live
    backup_id: str
    snapshot_at: str
    seconds: float
    rows: int
    results: tuple[KeyResult, ...]
    passed_over: tuple[tuple[str, str], ...]


def require_down(witness: str, fenced: str) -> str:
    """Return how the primary is known to be down; raises Refused while it still answers at `witness`."""
    if fenced:
        return f"fenced: {fenced}"
    if not witness:
        raise UsageError("say how the primary is known to be down: --witness URL that must fail, or --fenced WHY")
    for _ in range(WITNESSES):
        try:
            answer = requests.get(witness, timeout=3)
        except requests.RequestException:
            continue
        raise Refused(f"the primary still answers at {witness} ({answer.status_code}); fence it before you recover")
    return f"witnessed down: {witness}"


def require_name(config: Config, name: str) -> None:
    """Refuse unless the operator named the estate that is declared."""
    if name != config.estate.name:
        raise UsageError(f"the estate declared here is {config.estate.name!r}, not {name!r}; nothing was changed")


def recover(config: Config, offsite: Address, secrets: Secrets, run: Path, logs: Path, journal: Journal) -> Recovered:
    """Bring the estate back on a DR site that stays up; outward actions are held until they are released.

    Raises what the phases of `Recovery` raise; then everything that was started is swept.
    """
    for holder in ("dr", "clients", "names"):
        if not secrets.of(holder):
            raise UsageError(f"{secrets.root}/{holder}: no secrets there; recovery needs those of the DR site")
    repository = repository_at(offsite, secrets, config.estate.name)
    substrate = Embedded(run, logs)
    try:
        return _recover(config, offsite, secrets, repository, substrate, journal)
    except BaseException:
        substrate.sweep()
        raise


def _recover(
    config: Config,
    offsite: Address,
    secrets: Secrets,
    repository: Repository,
    substrate: Embedded,
    journal: Journal,
) -> Recovered:
    began = journal.mark("declared", "disaster", estate=config.estate.name)
    services = build_services(config)
    dr = EstateSite(substrate.site("dr"), secrets.of("dr"), sinks_of(config))
    edge = open_edge(substrate.site("edge"), config, secrets.of("names"), NOWHERE, "dr")
    work = Recovery(
        estate=config.estate.name,
        dr=dr,
        services=services,
        repository=repository,
        private_key_ref=secrets.of("dr").get("recipient.pem", f"file:{secrets.root / 'dr' / 'recipient.pem'}"),
        edge=edge,
        dr_edge=config.sites.dr.edge,
        client_secrets=secrets.of("clients"),
        journal=journal,
        mode="real",
        start_messages=start_messages(config),
    )
    selected = work.select(work.activate())
    started = work.start(work.restore(selected))
    tested = work.test(work.switch(started))
    if dr.sql is None or dr.s3 is None:
        raise HarnessError("the DR site lost its database or its store after the tests; recover again")
    live = Live(
        estate=config.estate.name,
        site="dr",
        run=str(substrate.run),
        logs=str(substrate.logs),
        secrets=str(secrets.root),
        sql=str(dr.sql.outside),
        s3=str(dr.s3.outside),
        offsite=str(offsite),
        public=f"{config.sites.dr.edge}:{edge.front.node.endpoint('http').outside.port}",
        names=str(edge.names.address),
        held=started.held,
    )
    return Recovered(
        live,
        selected.backup.manifest.backup_id,
        selected.contents.snapshot_at.isoformat(timespec="seconds"),
        tested.held_at - began.at,
        started.restored.rows,
        tested.results,
        selected.passed_over,
    )


def release_live(config: Config, live: Live, journal: Journal) -> Live:
    """Let go what a recovery held; return the estate's file with nothing held any more."""
    let_go(build_services(config), site_of(live).place, live.held, journal)
    return replace(live, held=())
