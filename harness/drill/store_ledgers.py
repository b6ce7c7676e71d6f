"""Ledgers of a drill besides that of the client load: clients that write to every store, and what is read back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.clock import NotYet, wait_until
from harness.core.errors import REPORTED, HarnessError, reason_of
from harness.core.journal import Journal
from harness.core.loss import StoreWrites
from harness.declaration import StoreClients
from harness.drill.environment import DrillEnvironment
from harness.evidence.ledger import LedgerFile
from harness.patience import PATIENCE
from harness.traffic.ledger_writer import LedgerWriter

FIRST_WRITES = 10  # acknowledged writes after which the client load counts as running
RATE = 1.0  # writes a second of each ledger: the loss is known to a second, and a service hardly notices


def await_writes(writer: LedgerWriter, ledger: LedgerFile, first: int = FIRST_WRITES) -> None:
    """Return once so many writes are acknowledged. Raises TookTooLong, HarnessError when the writer died."""

    def running() -> None:
        if (count := len(ledger.ledger.acknowledged())) < first:
            why = f", the last with: {writer.refusal}" if writer.refusal else ""
            raise NotYet(f"{count} writes acknowledged, {writer.consecutive_failures} failed in a row{why}")

    wait_until(running, patience=PATIENCE.first_writes, what=f"the first acknowledged writes of ledger {ledger.name}")


@dataclass(slots=True)
class _Store:
    """One ledger."""

    clients: StoreClients
    ledger: LedgerFile
    writer: LedgerWriter
    survivors: frozenset[int] | None = None


@dataclass(slots=True)
class StoreLedgers:
    """All of them; none before `start`. Their writes go to `file`, beside those of the client load."""

    environment: DrillEnvironment
    file: Path
    journal: Journal
    _stores: list[_Store] = field(default_factory=list)

    def start(self, declared: Sequence[StoreClients], rate: float = RATE) -> None:
        """Start a writer for each of the `declared`. Raises HarnessError when a client's secret is missing."""
        door, secrets = self.environment.door, self.environment.secrets.of("clients")
        for clients in declared:
            ledger = LedgerFile(self.file, clients.name)
            self._stores.append(_Store(clients, ledger, LedgerWriter(clients.sender(door, secrets), ledger, rate)))
        for store in self._stores:
            store.writer.start()

    def await_first(self) -> None:
        """Return once each ledger has an acknowledged write. Raises TookTooLong that names the first without one."""
        for store in self._stores:
            await_writes(store.writer, store.ledger, 1)

    def stop(self) -> None:
        """Stop all writers; may be called again. Raises HarnessError when one had died."""
        for store in self._stores:
            store.writer.end()
        for store in self._stores:
            store.writer.stop()

    def read_back(self) -> None:
        """Find the writes of each ledger on the DR site. Raises HarnessError for those that cannot be read."""
        door, secrets = self.environment.door, self.environment.secrets.of("clients")
        failed: list[str] = []
        for store in self._stores:
            try:
                store.survivors = store.clients.survivors(door, secrets, self.environment.dr.place)
            except REPORTED as error:
                failed.append(f"ledger {store.clients.name}: cannot be read back: {reason_of(error)}")
                continue
            found = len(store.survivors)
            self.journal.mark("read back", store.clients.name, sent=len(store.ledger.ledger.writes), found=found)
        if failed:
            raise HarnessError("; ".join(failed))

    @property
    def observed(self) -> tuple[StoreWrites, ...]:
        """Each ledger and what was read back of it."""
        copied = self.environment.copied
        return tuple(
            StoreWrites(one.clients.name, one.ledger.ledger, one.survivors, copied if one.clients.in_bucket else None)
            for one in self._stores
        )
