"""A drill: client load, strike, recovery and verdict."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from harness.backup.schedule import fire_once
from harness.core.egress import egress_of
from harness.core.errors import REPORTED, HarnessError, reason_of
from harness.core.journal import END, Journal, messages_seen
from harness.core.judge import Clients, Evidence
from harness.core.loss import fault_moment, measure_loss
from harness.core.node import Address
from harness.core.overhead import overhead
from harness.core.record import DrillRecord
from harness.core.service import Sql
from harness.declaration import ClientLoad
from harness.drill.divergence import late_writes, taken_alone
from harness.drill.environment import DrillEnvironment
from harness.drill.live_databases import live_databases, note_absent
from harness.drill.scope import missing, not_drilled, with_digest
from harness.drill.store_ledgers import StoreLedgers, await_writes
from harness.drill.strike import Identity, Struck, strike
from harness.drill.traces import Traces, leave_traces, try_traces
from harness.estate.isolation import uncovered_on
from harness.estate.registry import client_load, store_clients
from harness.estate.site import EstateSite
from harness.evidence.failures import Failures
from harness.evidence.folder import LEDGER, RecordFolder
from harness.evidence.ledger import LedgerFile
from harness.evidence.record import Outcome, RecordHeader, conclude
from harness.evidence.unmet import note_unmet
from harness.recovery.exposure import exposed_at
from harness.recovery.key_functions import require_asserting, unread
from harness.recovery.outcome import Results
from harness.recovery.recovery import Recovery, Selected, Tested
from harness.recovery.restore import Restored
from harness.recovery.sign_off import SignOff
from harness.repository.catalogue import Receipt
from harness.traffic.answering import Voices
from harness.traffic.ledger_writer import LedgerWriter

NO_CLIENTS = "no service takes numbered writes; declare [clients] to measure the data loss with your own"


@dataclass(slots=True)
class Drill:
    """One running drill: the only mutable object of a scenario."""

    header: RecordHeader
    environment: DrillEnvironment
    folder: RecordFolder
    journal: Journal
    on_bytes: Callable[[int], None] = lambda _count: None
    ask: Callable[[Address], bool] = field(
        default_factory=Voices
    )  # whether a node of the primary answers, asked from outside
    target: Identity = field(init=False)  # identity of the site that may be destroyed, by default this drill's primary
    load: ClientLoad | None = field(init=False)  # None when no service takes numbered writes
    ledger: LedgerFile = field(init=False)
    stores: StoreLedgers = field(init=False)  # of every other client
    failures: Failures = field(init=False)
    writer: LedgerWriter | None = None
    struck: Struck | None = None
    traces: Traces | None = None  # what the primary wrote before the strike
    notes: dict[str, str] = field(default_factory=dict)
    live: frozenset[str] = frozenset()  # databases of the primary when it was lost
    scheduled: bool = False
    receipts: list[Receipt] = field(default_factory=list)
    selected: Selected | None = None
    restored: Restored | None = None
    tested: Tested | None = None
    signed_off: SignOff | None = None
    surviving: frozenset[int] | None = None
    diverged: tuple[int, ...] = ()
    record: DrillRecord | None = None
    _open: ExitStack = field(default_factory=ExitStack)
    _recovery: Recovery | None = None

    def __post_init__(self) -> None:
        self.target = self.environment.template.identity
        self.load = client_load(self.environment.config)
        self.ledger = LedgerFile(self.folder.path / LEDGER)
        self.stores = StoreLedgers(self.environment, self.folder.path / LEDGER, self.journal)
        self.failures = Failures(self.header.drill, self.journal, self.folder.logs)

    @property
    def recovery(self) -> Recovery:
        """The recovery of this drill; raises HarnessError before the estate is started."""
        if self._recovery is None:
            self._recovery = self.environment.recovery(self.rpo_met, self.on_bytes)
        return self._recovery

    @property
    def stopped(self) -> str:
        """The failed phase of the recovery, "" before a failure."""
        return self._recovery.stopped if self._recovery is not None else ""

    def start(self) -> None:
        """Start the estate and its client load, deliveries refused until the strike. Raises HarnessError."""
        require_asserting(self.environment.services, self.environment.secrets.of("clients"))
        self._open.enter_context(self.environment.receiver.away())  # so that DR alone can have delivered what is queued
        self.environment.start_data()
        self.environment.start_services()
        self.stores.start(store_clients(self.environment.config))
        self.start_client_load()
        self.stores.await_first()

    def start_client_load(self, rate: float = 10.0) -> None:
        """Start the writer and return once its first writes are acknowledged; raises HarnessError."""
        if self.load is None:
            raise HarnessError(NO_CLIENTS)
        send = self.load.sender(self.environment.door, self.environment.secrets.of("clients"))
        writer = self.writer = LedgerWriter(send, self.ledger, rate)
        writer.start()
        await_writes(writer, self.ledger)

    def back_up(self) -> Receipt:
        """Take a backup and return its receipt; raises BackupFailed."""
        self.receipts.append(self.environment.backups.back_up())
        return self.receipts[-1]

    def back_up_on_schedule(self, expression: str = "*/2 * * * * *", patience: float = 600.0) -> Receipt:
        """Run the scheduler until it has fired once; return the receipt of the backup. Raises HarnessError."""
        before = len(self.receipts)
        fire_once(expression, self.back_up, self.journal, patience)
        if len(self.receipts) == before:
            raise HarnessError("the scheduled backup failed; see the journal for its reason")
        self.scheduled = True
        if self.environment.standby is not None:  # a real one was made on another day
            self.environment.await_standby()
        return self.receipts[-1]

    def strike(self, destroy: Callable[[EstateSite], None] = EstateSite.destroy) -> Struck:
        """2.1: destroy the primary site, then journal detection and declaration. Raises Refused, HarnessError."""
        writer = self.writer
        if writer is None:
            raise HarnessError("no client load is running; start it before the primary is destroyed")
        self.environment.expect_strike()
        self._open.close()
        self.traces = leave_traces(self.environment.primary.site, self.journal)
        self.live = live_databases(self.environment.primary.place.sql, self.failures)
        self.struck = strike(
            self.environment.primary, self.target, failures=lambda: writer.consecutive_failures,
            journal=self.journal, destroy=self.environment.losing(destroy), ask=self.ask,
        )  # fmt: skip
        for line in self.struck.living:
            self.failures.note(HarnessError(line), "")
        self.journal.mark(END, "detect")
        self.journal.mark("begin", "declare")
        self.journal.mark("declared", "disaster", initiator=self.header.initiator)
        self.journal.mark(END, "declare")
        return self.struck

    def rpo_met(self, sql: Sql) -> bool | None:
        """Compare the restored writes with the ledger; return whether the RPO is met, None when unknown."""
        fault = self.fault
        if fault is None or self.load is None:
            return None
        with overhead(self.journal, "the comparison with the ledger"):
            loss = measure_loss(self.ledger.ledger, self.load.restored(sql), fault)
        return loss.rpa is not None and not loss.everything and loss.rpa <= self.header.promise.rpo.total_seconds()

    @property
    def fault(self) -> float | None:
        """Time of the last acknowledged write before the strike, None without one."""
        return fault_moment(self.ledger.ledger, self.struck.at) if self.struck else None

    def select(self) -> Selected:
        """2.2 and 2.3: activate the DR site and return the selected backup. Raises Finding, HarnessError."""
        self.selected = self.recovery.select(self.recovery.activate())
        return self.selected

    def restore(self, selected: Selected) -> Restored:
        """2.4."""
        self.restored = self.recovery.restore(selected)
        note_absent(self.live, self.restored.contents, self.failures)
        return self.restored

    def finish(self, restored: Restored) -> None:
        """2.6 to 2.8: start, switch and test. Raises Finding, HarnessError."""
        self.tested = self.recovery.test(self.recovery.switch(self.recovery.start(restored)))

    def recover(self) -> None:
        """Run every phase in order; raises Finding or HarnessError at the first failure."""
        self.finish(self.restore(self.select()))

    def attempt(self, work: Callable[[], object]) -> str:
        """Run a part of the drill; return the reason of its failure, which goes into the record, else ""."""
        try:
            work()
        except REPORTED as error:
            self.failures.note(error, self.stopped)
            return reason_of(error)
        return ""

    def fence(self) -> None:
        """Stop the old primary, whose database is kept to be read."""
        self.environment.primary.fence()
        self.journal.mark("fenced", "primary site", nodes=", ".join(self.environment.primary.nodes))

    def read_old_primary(self) -> tuple[int, ...]:
        """Return the writes that the old primary took and DR has not, without those acknowledged before the fault."""
        if self.load is None or self.fault is None:
            raise HarnessError("no client load, or no strike: no site can have taken writes alone")
        self.diverged = taken_alone(self.load, self.ledger.ledger, self.fault, self.environment)
        self.journal.mark("diverged", "primary site", writes=len(self.diverged))
        return self.diverged

    def conclude(self) -> DrillRecord:
        """2.9 and 2.10: judge the drill, write the record and return it."""
        exposed = None
        try:
            self._read_back()
            exposed = self._exposure()
            self._try_traces()
            self._sign_off()
        except REPORTED as error:
            self.failures.note(error, "")
        self.record = conclude(self.header, self._outcome(exposed), self.folder, self.journal)
        return self.record

    def conclude_after(self, error: BaseException | None) -> None:
        """Write the record of a scenario that `error` ended; one that passed without a verdict leaves none."""
        if self.record is not None:
            if error is not None:
                self.record = note_unmet(self.record, error, self.folder, self.failures)
            return
        if error is None:
            self.folder.withdraw()
            return
        self.failures.note(error, self.stopped)
        self.conclude()

    def _read_back(self) -> None:
        """Stop the client load and read the surviving writes through the front door."""
        if self.writer is None or self.load is None:
            return
        self.writer.stop()
        self.stores.stop()
        if self.tested is not None:
            self.surviving = self.load.survivors(self.environment.door, self.environment.secrets.of("clients"))
            self.stores.read_back()

    def _sign_off(self) -> None:
        """Compare what was restored with the backup once more. Raises Finding, HarnessError."""
        if self.tested is not None:
            self.signed_off = self.recovery.sign_off(self.tested)

    def _try_traces(self) -> None:
        """Try whether DR can read what the lost primary wrote. Raises Finding, HarnessError."""
        destroyed = not self.environment.primary.nodes
        if self.struck is not None and self.traces is not None and (destroyed or self.traces.living):
            self.notes["isolation"] = try_traces(self.environment.dr.site, self.traces, self.journal)

    def _exposure(self) -> float | None:
        at = next((event.wall for event in self.journal.events if event.kind == "struck"), None)
        if at is None:
            return None
        exposed = exposed_at(self.environment.connections, at)
        self.notes.update(exposed.note)
        return exposed.seconds

    def _outcome(self, exposed: float | None) -> Outcome:
        config, services, events = self.environment.config, self.environment.services, self.journal.events
        dr, results = self.environment.dr.site, Results(self.selected, self.restored, self.tested, self.signed_off)
        clients = Clients(
            ledger=self.ledger.ledger,
            struck=self.struck.at if self.struck else None,
            witnessed=bool(self.struck and self.struck.witnessed),
            survivors=self.surviving,
            stores=self.stores.observed,
        )
        self.notes |= late_writes(clients, events)
        seen = Evidence(
            promise=self.header.promise,
            clients=clients,
            exposure=exposed,
            missing=() if self.stopped else missing(config, messages_seen(events), scheduled=self.scheduled),
            findings=tuple(self.failures.findings),
            doubts=tuple(self.failures.doubts),
            checks=len(self.tested.results) if self.tested else len(self.failures.findings),
        )
        lacking = (
            *not_drilled(config, services, self.header.limits, scheduled=self.scheduled),
            *(unread(services, self.selected.contents) if self.selected else ()),
        )
        outcome = results.outcome(results.observed(seen, uncovered_on(dr, config)), lacking, self.notes, egress_of(dr))
        backup, repeats = with_digest(outcome.backup, self.receipts), self.environment.receiver.repeats()
        return replace(outcome, backup=backup, repeated=repeats, diverged=self.diverged)

    def close(self) -> None:
        """Stop the client load and remove everything except the record."""
        try:
            self._open.close()
            if self.writer is not None:
                self.writer.stop()
            self.stores.stop()
        finally:
            self.environment.close()
