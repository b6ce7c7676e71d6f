"""Messages 2.2 to 2.8: one method a phase, each taking what the one before returned; a failure is terminal.

The steps of a drill call these one by one, and so does `blackstart recover` on the day of the real disaster.
Nothing here can strike: `harness.drill.strike` is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from harness.core.contents import Contents
from harness.core.errors import Finding, HarnessError
from harness.core.journal import Journal, phase
from harness.core.node import Address
from harness.core.record import KeyResult
from harness.core.service import Held, Mode, PublicDoor, Service, Sql
from harness.estate.site import EstateSite, NodeStatus
from harness.recovery import key_functions, start
from harness.recovery.containment import hold
from harness.recovery.restore import Restore, Restored
from harness.recovery.traffic_switch import RoutingStatus
from harness.repository.catalogue import OpenBackup, Repository
from harness.vault import read_text_secret


@dataclass(frozen=True, slots=True)
class Activated:
    """Message 2.2: the status of each node of the DR infrastructure."""

    nodes: tuple[NodeStatus, ...]


@dataclass(frozen=True, slots=True)
class Selected:
    """Message 2.3: the newest backup of which every segment is authentic; what was passed over, and why."""

    backup: OpenBackup
    passed_over: tuple[tuple[str, str], ...]

    @property
    def contents(self) -> Contents:
        """What its manifest says of it."""
        return self.backup.manifest.contents


@dataclass(frozen=True, slots=True)
class Started:
    """Message 2.6: the status of each service, and what was held back."""

    restored: Restored
    services: tuple[NodeStatus, ...]
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Switched:
    """Message 2.7: which site the front door and the name service now lead to."""

    started: Started
    front: str
    address: str


@dataclass(frozen=True, slots=True)
class Tested:
    """Message 2.8: what every key function answered, round by round, and when they had all held."""

    switched: Switched
    results: tuple[KeyResult, ...]
    held_at: float


class Front(Protocol):
    """What leads clients to a site: `traffic_switch.Edge`, or a DR site's own gateway in a restore test."""

    @property
    def door(self) -> PublicDoor:
        """A client of the estate."""
        ...

    def switch(self, site: str, upstream: Address, address: str) -> RoutingStatus:
        """Lead clients to `site`; return what new connections saw."""
        ...


@dataclass(slots=True)
class Recovery:
    """Brings the estate back on the DR site.

    `private_key_ref`: the DR recipient's key. `freshness`: asked of the restored server whether the promise's
    RPO is met, None where there is no ledger to tell. `start_messages`: service name -> the mission's numbers
    for its start and its connection.
    """

    estate: str
    dr: EstateSite
    services: Sequence[Service]
    repository: Repository
    private_key_ref: str
    edge: Front
    dr_edge: str
    client_secrets: Mapping[str, str]
    journal: Journal
    mode: Mode = "rehearsal"
    freshness: Callable[[Sql], bool | None] = lambda _sql: None
    start_messages: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    on_bytes: Callable[[int], None] = lambda _count: None
    stopped: str = ""

    @contextmanager
    def _phase(self, name: str, message: str = "") -> Iterator[None]:
        """One phase; refuses to begin after a failure, and makes a failure of its own the last."""
        if self.stopped:
            raise HarnessError(f"phase {name} refused: the recovery stopped at {self.stopped}")
        try:
            with phase(self.journal, name, message=message):
                yield
        except BaseException as error:
            self.stopped = f"{name}: {str(error) or type(error).__name__}"
            raise

    @contextmanager
    def _or_stop(self) -> Iterator[None]:
        """Log a failure of selection or restore as 2.5.1 and stop the recovery as 2.5.2."""
        try:
            yield
        except (HarnessError, Finding) as error:
            self.journal.mark("log", "DR restore failed", message="2.5.1", error=str(error))
            self.journal.mark("stop", "recovery", message="2.5.2", reason="no service is started, no traffic switched")
            raise

    def activate(self) -> Activated:
        """2.2: start the DR infrastructure and return the status of each node."""
        with self._phase("activate", "2.2"):
            nodes = self.dr.activate()
            for node in nodes:
                self.journal.mark("status", node.node, ready=node.ready, detail=node.detail)
        return Activated(nodes)

    def select(self, _activated: Activated) -> Selected:
        """2.3: return the newest backup that opens and authenticates to its last segment.

        Raises NoValidBackup with the reason for each that was passed over.
        """
        with self._or_stop(), self._phase("select", "2.3"):
            key = read_text_secret(self.private_key_ref)
            selection = self.repository.latest_valid(key, self.on_bytes)
            for backup_id, reason in selection.passed_over:
                self.journal.mark("passed over", backup_id, reason=reason)
            manifest = selection.backup.manifest
            self.journal.mark(
                "selected",
                manifest.backup_id,
                snapshot_at=manifest.contents.snapshot_at.isoformat(timespec="seconds"),
            )
        return Selected(selection.backup, selection.passed_over)

    def restore(self, selected: Selected) -> Restored:
        """2.4: decrypt, decompress and restore; compare with the manifest; return whether the RPO is met."""
        with self._or_stop():
            work = Restore(self.dr.place, self.services, selected.backup, self.journal, self.on_bytes)
            with self._phase("fetch", "2.4"):
                work.prepare()
            with self._phase("open", "2.4.1"):
                work.open()
            with self._phase("restore", "2.4.2"):
                work.execute()
            with self._phase("db"):
                restored = work.check(self.freshness)
        return restored

    def start(self, restored: Restored) -> Started:
        """2.6: contain the services, start them on the DR database, prove their connections."""
        with self._phase("app", "2.6"):
            start.require_fingerprints(self.dr.secrets, restored.contents.fingerprints)
            held = hold(self.services, self.dr.place, self.mode, self.journal)
            statuses = start.start_all(self.dr, self.services, self.journal, self.start_messages)
            start.require_connections(
                self.dr.place.sql, self.services, restored.contents, self.journal, self.start_messages
            )
        return Started(restored, statuses, held)

    def switch(self, started: Started) -> Switched:
        """2.7: lead the front door and the public name to DR, and prove both by new connections."""
        with self._phase("switch", "2.7"):
            status = self.edge.switch("dr", self.dr.address_of("gateway"), self.dr_edge)
            self.journal.mark("status", "routing", front=status.front, address=status.address)
        return Switched(started, status.front, status.address)

    def test(self, switched: Switched) -> Tested:
        """2.8: run every key function through the public front door until all have held."""
        with self._phase("key"):
            functions = [f for s in self.services for f in s.key_functions(self.client_secrets)]
            results = key_functions.hold_key_functions(functions, self.edge.door, self.journal)
            event = self.journal.mark("held", "key functions", rounds=key_functions.ROUNDS)
        return Tested(switched, results, event.at)
