"""A drill: a promise, an estate with clients at work, a disaster, a recovery, a verdict on record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event as Flag
from threading import Thread

from harness.backup.schedule import run_schedule
from harness.core.budget import Promise
from harness.core.clock import SYSTEM, Clock, NotYet, wait_until
from harness.core.errors import Finding, HarnessError
from harness.core.exposure import exposure
from harness.core.journal import END, Event, Journal
from harness.core.judge import fault_moment, measure_loss
from harness.core.record import DrillRecord
from harness.core.service import Sql
from harness.drill.environment import World
from harness.drill.outcome import document
from harness.drill.strike import Identity, Struck, strike
from harness.estate.site import EstateSite
from harness.evidence.folder import RecordFolder
from harness.evidence.journal import JournalFile
from harness.evidence.ledger import LedgerFile
from harness.evidence.record import Paper
from harness.patience import PATIENCE
from harness.postgres import checks
from harness.recovery.recovery import Recovery, Selected, Tested
from harness.recovery.restore import Restored
from harness.repository.catalogue import Receipt
from harness.services.notification.writer import LedgerWriter, survivors

WINDOW = timedelta(days=1)
AT_WORK = 10  # acknowledged writes after which clients are taken to be at work
RESTORED_WRITES = "SELECT substr(reference, 8) FROM outbox WHERE reference LIKE 'ledger-%'"


@dataclass(slots=True)
class Drill:
    """One drill under way: the only mutable object of a scenario."""

    name: str
    objective: str
    world: World
    promise: Promise
    folder: RecordFolder
    journal: Journal
    paper: Paper
    clock: Clock = SYSTEM
    writer: LedgerWriter | None = None
    struck: Struck | None = None
    scheduled: bool = False
    receipts: list[Receipt] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    selected: Selected | None = None
    restored: Restored | None = None
    tested: Tested | None = None
    surviving: frozenset[int] | None = None
    exposed: float | None = None
    on_bytes: Callable[[int], None] = lambda _count: None
    hold_up: float = 0.0
    _target: Identity | None = None
    _away: ExitStack = field(default_factory=ExitStack)
    _recovery: Recovery | None = None
    _book: LedgerFile | None = None

    @property
    def book(self) -> LedgerFile:
        """The ledger's file."""
        if self._book is None:
            self._book = LedgerFile(self.folder.path / "ledger.jsonl")
        return self._book

    @property
    def target(self) -> Identity:
        """What may be struck: by default the estate that this drill made."""
        return self._target or self.world.template.identity

    @target.setter
    def target(self, identity: Identity) -> None:
        self._target = identity

    @property
    def recovery(self) -> Recovery:
        """The recovery of this drill."""
        if self._recovery is None:
            self._recovery = self.world.recovery(freshness=self.rpo_met, on_bytes=self.on_bytes)
        return self._recovery

    def open_for_business(self) -> None:
        """Start the whole estate and its clients.

        The customers' receiver is away from then until the strike: what is queued is still undelivered in every
        backup, so that only the DR site can have delivered it.
        """
        self._away.enter_context(self.world.receiver.away())
        self.world.start_data()
        self.world.start_services()
        self.put_clients_to_work()

    def put_clients_to_work(self, rate: float = 10.0) -> None:
        """Start the writer and return once its writes are acknowledged."""
        key = self.world.secrets.of("clients")["gateway-key"]
        self.writer = LedgerWriter(self.world.door, self.book, key, rate=rate, clock=self.clock)
        self.writer.start()

        def at_work() -> None:
            if len(self.book.ledger.acknowledged()) < AT_WORK:
                raise NotYet("clients are not answered")

        wait_until(at_work, patience=PATIENCE.first_writes, what="the first acknowledged writes")

    def back_up(self) -> Receipt:
        """Take a backup by hand."""
        receipt = self.world.backups.back_up()
        self.receipts.append(receipt)
        return receipt

    def back_up_on_schedule(self, expression: str = "*/2 * * * * *", patience: float = 600.0) -> Receipt:
        """Let the scheduler fire once and return the backup it took; raises HarnessError when it failed."""
        stop, before = Flag(), len(self.receipts)
        thread = Thread(target=run_schedule, args=(expression, self.back_up, self.journal, stop), kwargs={"runs": 1})
        thread.start()
        thread.join(patience)
        stop.set()
        if len(self.receipts) == before:
            raise HarnessError("the scheduled backup did not succeed; its reason is in the journal")
        self.scheduled = True
        return self.receipts[-1]

    def strike(self, destroy: Callable[[EstateSite], None] = EstateSite.destroy) -> Struck:
        """2.1: destroy the primary site; detection and declaration are phases of the recovery."""
        writer = self.writer
        if writer is None:
            raise HarnessError("nobody would notice the strike: put clients to work first")
        self.world.stop_replication()
        self._away.close()
        self.struck = strike(
            self.world.primary,
            self.target,
            failures=lambda: writer.consecutive_failures,
            journal=self.journal,
            destroy=destroy,
        )
        self.journal.mark(END, "detect")
        self.journal.mark("begin", "declare")
        self.journal.mark("declared", "disaster", initiator=self.paper.initiator)
        self.journal.mark(END, "declare")
        return self.struck

    def rpo_met(self, sql: Sql) -> bool | None:
        """Compare the restored writes with the ledger: whether the RPO is met, None where that cannot be told."""
        kinds = {table.kind for table in self.world.config.services.values()}
        fault = self.fault
        if fault is None or "notification" not in kinds:
            return None
        found = frozenset(int(n) for n in checks.column(sql, "notification", RESTORED_WRITES))
        loss = measure_loss(self.book.ledger, found, fault)
        return loss.rpa is not None and not loss.everything and loss.rpa <= self.promise.rpo.total_seconds()

    @property
    def fault(self) -> float | None:
        """The last success that clients had before the strike."""
        return fault_moment(self.book.ledger, self.struck.at) if self.struck else None

    def recover(self) -> None:
        """Run every phase in order; raises at the first that fails."""
        selected = self.select()
        self.restored = self.recovery.restore(selected)
        self.finish(self.restored)

    def select(self) -> Selected:
        """2.2 and 2.3."""
        self.selected = self.recovery.select(self.recovery.activate())
        return self.selected

    def finish(self, restored: Restored) -> None:
        """2.6 to 2.8."""
        self.restored = restored
        self.tested = self.recovery.test(self.recovery.switch(self.recovery.start(restored)))

    def attempt(self, work: Callable[[], object]) -> None:
        """Run a part of the recovery; a failure becomes a finding of the record instead of leaving here."""
        try:
            work()
        except (Finding, HarnessError) as error:
            self.findings.append(str(error))

    def read_back(self) -> None:
        """Stop the clients and read what survived through the front door."""
        if self.writer is None:
            return
        self.writer.stop()
        if self.tested is not None:
            self.surviving = survivors(self.world.door, self.world.secrets.of("clients")["gateway-key"])

    def conclude(self) -> DrillRecord:
        """2.9 and 2.10: judge, document, refine; write the record and return it."""
        self.read_back()
        self._measure_exposure()
        return document(self)

    def _measure_exposure(self) -> None:
        strikes = [event for event in self.journal.events if event.kind == "struck"]
        if not strikes:
            return
        bad = {backup_id for backup_id, _ in self.selected.passed_over} if self.selected else set()
        taken = [
            b.manifest.contents.snapshot_at
            for b in self.world.repository.committed()
            if b.damaged is None and b.backup_id not in bad
        ]
        self.exposed = exposure(taken, strikes[0].wall, WINDOW)

    def close(self) -> None:
        """Stop the clients and leave nothing behind but the record."""
        try:
            self._away.close()
            if self.writer is not None:
                self.writer.stop()
        finally:
            self.world.close()


def open_journal(folder: RecordFolder, listener: Callable[[Event], None]) -> JournalFile:
    """Return the journal of a drill's folder."""
    return JournalFile(folder.path / "journal.jsonl", listener=listener)
