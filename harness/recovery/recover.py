"""`blackstart recover`: recovery from a real disaster, from the offsite store, DR's secrets and estate.toml."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.core.egress import egress_of
from harness.core.errors import REPORTED, UsageError
from harness.core.journal import Event, Journal, resumed_events
from harness.core.judge import Evidence
from harness.core.judged import PROMISED
from harness.core.node import Address
from harness.core.record import DrillRecord
from harness.estate.config import Config
from harness.estate.connections import Connections, offsite_at
from harness.estate.existing import witness_of, witness_store, writers_in
from harness.estate.isolation import uncovered_on
from harness.estate.registry import build_services, sinks_of
from harness.estate.secrets import Secrets
from harness.estate.site import EstateSite
from harness.estate.state_file import StateFile, connect, require_writable
from harness.evidence.failures import Failures
from harness.evidence.folder import RecordFolder
from harness.evidence.record import RecordHeader, conclude, open_record
from harness.recovery.begun import DECLARED, note_begun
from harness.recovery.build import recovery_of
from harness.recovery.containment import Released, release_all
from harness.recovery.exposure import Exposed, exposed_at
from harness.recovery.key_functions import unread
from harness.recovery.outcome import Results
from harness.recovery.recovery import Recovery, Started, may_serve
from harness.recovery.traffic_switch import Edge, open_edge
from harness.substrate.common.error_collector import ErrorCollector
from harness.substrate.embedded.substrate import Embedded

DISCARD = Address("127.0.0.1", 9)  # discard port: target of the front door before the switch
NAME = "recovery"
OBJECTIVE = "After a real disaster the estate works on the DR site, with the data of the newest backup."
TOOK = "from the command to key functions passed"
NEVER_KNOWN = (
    "1.1 to 1.6: a recovery takes no backup",
    "2.1: the disaster was real",
    "RTO: nobody saw when clients were served last; the notes contain the time from the command",
    "RPO of clients: no ledger tells what they had written; the age of the data is judged as exposure",
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """Result of the recovery. `seconds`: from the command to the last passed key function.

    `kept`: whether its state file was written.
    """

    state: StateFile
    backup_id: str
    snapshot_at: str
    seconds: float
    uncovered: tuple[str, ...]  # what is in no backup
    kept: bool


def require_name(config: Config, name: str) -> None:
    """Raise UsageError unless the operator named the declared estate."""
    if name != config.estate.name:
        raise UsageError(f"the estate declared here is {config.estate.name!r}, not {name!r}; nothing was changed")


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where the evidence of a recovery goes. The journal of resumed work has its events so far."""

    header: RecordHeader
    folder: RecordFolder
    journal: Journal


@dataclass(frozen=True, slots=True)
class Source:
    """Where the backups are, `HOST:PORT` or a folder.

    `witness`: file that keeps what was seen of them; `unsigned`: whether unsigned ones are read.
    """

    offsite: str
    witness: Path
    unsigned: bool = False


def recover(
    config: Config,
    source: Source,
    secrets: Secrets,
    run: Path,
    record: Recorded,
    at: Path,
    given: Mapping[str, str],
    on_recovered: Callable[[Recovered], None],
) -> DrillRecord:
    """Recover the estate on a DR site that stays up, contained; return the record.

    `at`: the state file; `given`: the options with which it can be resumed; `on_recovered`: called with what was
    recovered, before the record is written, which may fail. Raises UsageError, and as `Recovery` once the record is
    written: the site is swept then, unless clients may use it.
    """
    for holder in ("dr", "clients", "names"):
        if not secrets.of(holder):
            raise UsageError(f"{secrets.root}/{holder}: no secrets in this folder; copy those of the DR site there")
    writers_in(secrets.of("dr"), secrets.root / "dr", allow_unsigned=source.unsigned)
    require_writable(at)
    note_begun(run, NAME, record.folder.path, given)
    substrate = Embedded(run, record.folder.logs)
    dr = EstateSite(substrate.site("dr"), secrets.of("dr"), sinks_of(config))
    connections = Connections(
        config,
        build_services(config),
        offsite_at(source.offsite, secrets.of("offsite")),
        dr=dr,
        client_secrets=secrets.of("clients"),
        allow_unsigned=source.unsigned,
        witness=witness_of(config, source.witness),
        second=witness_store(config),
    )
    work = _Disaster(connections, secrets, substrate, record, at)
    try:
        recovered = work.carry_out()
    except BaseException as error:
        work.failures.note(error, work.stopped)
        if may_serve(record.journal.events):
            error.add_note(
                f"the DR site stays, as clients may have written to it since its switch; its addresses are in {at}, "
                f"`blackstart sweep {run}` removes it with its data"
            )
        else:
            with ErrorCollector().step():  # the error of the recovery is raised
                substrate.sweep()
        work.conclude()
        raise
    on_recovered(recovered)
    return work.conclude()


@dataclass(slots=True)
class _Disaster:
    """One recovery from a real disaster, and what is seen of it."""

    connections: Connections
    secrets: Secrets
    substrate: Embedded
    record: Recorded
    at: Path  # the state file
    failures: Failures = field(init=False)
    began: Event = field(init=False)
    results: Results = field(default_factory=Results)
    exposed: Exposed = field(default_factory=Exposed)
    _work: Recovery | None = None

    def __post_init__(self) -> None:
        header, folder, journal = self.record.header, self.record.folder, self.record.journal
        self.failures = Failures(header.drill, journal, folder.logs)
        events = resumed_events(journal.events)
        begun = next((event for event in events if event.kind == DECLARED), None)
        self.began = begun or journal.mark(DECLARED, "disaster", estate=self.connections.config.estate.name)
        if not any(event.kind == PROMISED for event in events):
            open_record(header, folder, journal)

    @property
    def stopped(self) -> str:
        """The phase that failed, "" before a failure."""
        return self._work.stopped if self._work is not None else ""

    def carry_out(self) -> Recovered:
        """Run every phase, and return what was recovered. Raises as `Recovery`."""
        config = self.connections.config
        edge = open_edge(self.substrate.site("edge"), config, self.secrets.of("names"), DISCARD, "dr")
        run, journal = self.substrate.run, self.record.journal
        work = self._work = recovery_of(self.connections, edge, journal, "reversible", run=run)
        selected = work.select(work.activate())
        self.results = replace(self.results, selected=selected)
        restored = work.restore(selected)
        self.results = replace(self.results, restored=restored)
        started = work.start(restored)
        state = self._state(edge, started)
        kept = self._keep(state)  # before clients write there: whoever kills this process still finds the site
        tested = work.test(work.switch(started))
        self.results = replace(self.results, tested=tested)
        try:
            self.results = replace(self.results, signed_off=work.sign_off(tested))
            self.exposed = exposed_at(self.connections, self.began.wall)
        except REPORTED as error:  # the site stays: its services work, and clients use it
            self.failures.note(error, "")
        return Recovered(
            state,
            selected.backup.manifest.backup_id,
            selected.contents.snapshot_at.isoformat(timespec="seconds"),
            tested.passed_at - self.began.at,
            selected.uncovered,
            kept,
        )

    def _state(self, edge: Edge, started: Started) -> StateFile:
        config, place = self.connections.config, self.connections.recovered.place
        return StateFile(
            estate=config.estate.name,
            site="dr",
            run=str(self.substrate.run),
            logs=str(self.substrate.logs),
            secrets=str(self.secrets.root),
            sql=str(place.sql.outside),
            s3=str(place.s3.outside),
            offsite=str(self.connections.offsite),
            public=f"{config.sites.dr.edge}:{edge.front.node.endpoint('http').outside.port}",
            names=str(edge.names.address),
            contained=started.contained,
        )

    def _keep(self, state: StateFile) -> bool:
        """Write the state file; return whether it is written: an estate without it serves its clients as well."""
        try:
            state.write(self.at)
        except REPORTED as error:
            self.failures.note(error, "")
            return False
        return True

    def conclude(self) -> DrillRecord:
        """Judge what was seen, write the record and return it."""
        config, services, results = self.connections.config, self.connections.services, self.results
        header, folder, journal = self.record.header, self.record.folder, self.record.journal
        seen = Evidence(
            promise=header.promise,
            activated=self.began.at,
            exposure=self.exposed.seconds,
            findings=tuple(self.failures.findings),
            doubts=tuple(self.failures.doubts),
            checks=len(results.tested.results) if results.tested else 0,
        )
        lacking = (*NEVER_KNOWN, *(unread(services, results.selected.contents) if results.selected else ()))
        dr = self.substrate.site("dr")
        observed = results.observed(seen, uncovered_on(dr, config))
        notes = dict(self.exposed.note)
        if results.tested is not None:
            notes[TOOK] = f"{results.tested.passed_at - self.began.at:.1f} s"
        return conclude(header, results.outcome(observed, lacking, notes, egress_of(dr)), folder, journal)


def release(config: Config, state: StateFile, at: Path, journal: Journal) -> Released:
    """Release what a recovery contained; what could not be stays in its state file `at`. Raises HarnessError."""
    connections = connect(config, state)
    released = release_all(connections.services, connections.recovered.place, state.contained, journal)
    replace(state, contained=released.kept).write(at)
    return released
