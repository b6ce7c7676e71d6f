"""`blackstart recover`: recovery from a real disaster, from the offsite store, DR's secrets and estate.toml."""

from dataclasses import dataclass, replace
from pathlib import Path

import requests

from harness.core.errors import Finding, Refused, UsageError
from harness.core.journal import Journal
from harness.core.node import Address
from harness.core.record import KeyResult
from harness.estate.config import Config
from harness.estate.connections import Connections, Offsite
from harness.estate.existing import witness_of, witness_store, writers_in
from harness.estate.registry import build_services, sinks_of
from harness.estate.secrets import Secrets
from harness.estate.site import EstateSite
from harness.estate.state_file import StateFile, connect
from harness.recovery.build import recovery_of
from harness.recovery.containment import release_all
from harness.recovery.traffic_switch import open_edge
from harness.substrate.embedded.substrate import Embedded

DISCARD = Address("127.0.0.1", 9)  # discard port: target of the front door before the switch
FAILED_REQUESTS = 3  # failed requests in a row after which the primary counts as down


@dataclass(frozen=True, slots=True)
class Recovered:
    """Result of the recovery. `seconds`: from the command to the last passed key function."""

    state: StateFile
    backup_id: str
    snapshot_at: str
    seconds: float
    rows: int
    results: tuple[KeyResult, ...]
    passed_over: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]  # what is not as it was, though the services work
    uncovered: tuple[str, ...]  # what is in no backup


def require_down(witness: str, fenced: str) -> str:
    """Return the evidence that the primary is down; raises Refused while `witness` answers, UsageError without any."""
    if fenced:
        return f"fenced: {fenced}"
    if not witness:
        raise UsageError("no evidence that the primary is down; add --witness URL (it must fail) or --fenced WHY")
    for _ in range(FAILED_REQUESTS):
        try:
            answer = requests.get(witness, timeout=3)
        except requests.RequestException:
            continue
        raise Refused(f"the primary still answers at {witness} ({answer.status_code}); fence it before you recover")
    return f"witnessed down: {witness}"


def require_name(config: Config, name: str) -> None:
    """Raise UsageError unless the operator named the declared estate."""
    if name != config.estate.name:
        raise UsageError(f"the estate declared here is {config.estate.name!r}, not {name!r}; nothing was changed")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the backups are. `witness`: file that keeps what was seen of them; `unsigned`: whether those are read."""

    offsite: Address
    witness: Path
    unsigned: bool = False


def recover(config: Config, source: Source, secrets: Secrets, run: Path, logs: Path, journal: Journal) -> Recovered:
    """Recover the estate on a DR site that stays up, contained. Raises UsageError, and as `Recovery` after a sweep."""
    for holder in ("dr", "clients", "names"):
        if not secrets.of(holder):
            raise UsageError(f"{secrets.root}/{holder}: no secrets in this folder; copy those of the DR site there")
    writers_in(secrets.of("dr"), secrets.root / "dr", allow_unsigned=source.unsigned)
    substrate = Embedded(run, logs)
    dr = EstateSite(substrate.site("dr"), secrets.of("dr"), sinks_of(config))
    connections = Connections(
        config,
        build_services(config),
        Offsite(source.offsite, secrets.of("offsite")),
        dr=dr,
        client_secrets=secrets.of("clients"),
        allow_unsigned=source.unsigned,
        witness=witness_of(config, source.witness),
        second=witness_store(config),
    )
    try:
        return _recover(connections, secrets, substrate, journal)
    except BaseException:
        substrate.sweep()
        raise


def _recover(connections: Connections, secrets: Secrets, substrate: Embedded, journal: Journal) -> Recovered:
    config, dr = connections.config, connections.recovered
    began = journal.mark("declared", "disaster", estate=config.estate.name)
    edge = open_edge(substrate.site("edge"), config, secrets.of("names"), DISCARD, "dr")
    work = recovery_of(connections, edge, journal, "reversible")
    selected = work.select(work.activate())
    started = work.start(work.restore(selected))
    tested = work.test(work.switch(started))
    findings = [*selected.findings, *started.restored.findings, *started.restored.lost_objects]
    try:
        work.sign_off(tested)
    except Finding as error:  # the site stays: its services work, and clients use it
        findings.append(str(error))
    state = StateFile(
        estate=config.estate.name,
        site="dr",
        run=str(substrate.run),
        logs=str(substrate.logs),
        secrets=str(secrets.root),
        sql=str(dr.place.sql.outside),
        s3=str(dr.place.s3.outside),
        offsite=str(connections.offsite.address),
        public=f"{config.sites.dr.edge}:{edge.front.node.endpoint('http').outside.port}",
        names=str(edge.names.address),
        contained=started.contained,
    )
    return Recovered(
        state,
        selected.backup.manifest.backup_id,
        selected.contents.snapshot_at.isoformat(timespec="seconds"),
        tested.passed_at - began.at,
        started.restored.rows,
        tested.results,
        selected.passed_over,
        tuple(findings),
        selected.uncovered,
    )


def release(config: Config, state: StateFile, journal: Journal) -> StateFile:
    """Release what a recovery contained; return the state without contained actions. Raises HarnessError."""
    connections = connect(config, state)
    release_all(connections.services, connections.recovered.place, state.contained, journal)
    return replace(state, contained=())
