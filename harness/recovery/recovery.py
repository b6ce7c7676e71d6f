"""Recovery, messages 2.2 to 2.8, one method a phase, on the result of the last. It never imports `harness.drill`."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from harness.backup.plan import not_in
from harness.core.contents import Contents
from harness.core.errors import (
    REPORTED,
    Finding,
    HarnessError,
    Refused,
    RestoreFailed,
    UsageError,
    described,
    reason_of,
)
from harness.core.journal import Event, Journal, phase
from harness.core.judge import SWITCH
from harness.core.judged import DOUBT, FINDING
from harness.core.node import Address
from harness.core.record import KeyResult
from harness.core.service import AssertionResult, Contained, Containment, PublicDoor, Service, Sql
from harness.estate.site import EstateSite, NodeStatus
from harness.postgres.allowed import NOTHING, Allowed
from harness.postgres.restoring.restorer import clerk
from harness.recovery import key_functions, start
from harness.recovery.assertions import asserted_by, note_results
from harness.recovery.choose_server import DUMPS, ServerChoice, Standby, choose_server
from harness.recovery.containment import contain_all
from harness.recovery.restore import Restore, Restored
from harness.recovery.restore_server import ServerRestore
from harness.recovery.sign_off import SignOff, check_again
from harness.recovery.traffic_switch import RoutingStatus
from harness.repository.catalogue import OpenBackup, Repository
from harness.repository.chain import Head
from harness.vault import read_text_secret


@dataclass(frozen=True, slots=True)
class Activated:
    """Message 2.2: the status of each node of the DR infrastructure."""

    nodes: tuple[NodeStatus, ...]


@dataclass(frozen=True, slots=True)
class Selected:
    """Message 2.3: the newest backup with only authentic segments; newer ones passed over, with reasons."""

    backup: OpenBackup
    passed_over: tuple[tuple[str, str], ...]
    undeclared: tuple[str, ...] = ()  # what services declare by now and the backup does not contain
    findings: tuple[str, ...] = ()  # signs that the repository was tampered with
    chain: Head | None = None  # the newest backup of the repository
    server: ServerChoice = DUMPS  # base backups that the database server is restored from, before the dumps
    kept: Mapping[str, Collection[str]] = field(default_factory=dict)  # by volume: files that stay as they are

    @property
    def uncovered(self) -> tuple[str, ...]:
        """One line for each thing that the backup does not cover: a verdict over it is UNKNOWN."""
        return (*self.contents.lacking(base=bool(self.server.ways)), *self.undeclared)

    @property
    def contents(self) -> Contents:
        """Contents of the backup by its manifest."""
        return self.backup.manifest.contents

    @property
    def facts(self) -> Mapping[str, str | float]:
        """Facts of the backup for the record: id, snapshot time, sizes in bytes, databases."""
        manifest = self.backup.manifest
        return {
            "id": manifest.backup_id,
            "snapshot_at": self.contents.snapshot_at.isoformat(timespec="milliseconds"),
            "stored_bytes": manifest.size,
            "plain_bytes": manifest.plain_size,
            "databases": ", ".join(database.name for database in self.contents.databases),
            "format": self.backup.form,
            **({"chain_number": self.chain.sequence, "chain_head_sha256": self.chain.digest} if self.chain else {}),
        }


@dataclass(frozen=True, slots=True)
class Started:
    """Message 2.6: the status of each service, and the contained actions."""

    restored: Restored
    services: tuple[NodeStatus, ...]
    contained: tuple[Contained, ...]
    unconnected: tuple[start.Unconnected, ...] = ()  # those that may connect at their first request


@dataclass(frozen=True, slots=True)
class Switched:
    """Message 2.7: the site that the front door and the name service route to."""

    started: Started
    front: str
    address: str


@dataclass(frozen=True, slots=True)
class Tested:
    """Message 2.8: results of the key functions in all rounds, and the time at which all had passed."""

    switched: Switched
    results: tuple[KeyResult, ...]
    passed_at: float


class TrafficRouter(Protocol):
    """Routing of clients to a site: `traffic_switch.Edge`, or the gateway of the DR site in a restore test."""

    @property
    def door(self) -> PublicDoor:
        """A client of the estate."""

    def switch(self, site: str, upstream: Address, address: str) -> RoutingStatus:
        """Route clients to `site`; return the routing seen by new connections. Raises Refused, HarnessError."""


@contextmanager
def _as_failed() -> Iterator[None]:
    """Raise every failure of the site inside the block as RestoreFailed: a full disk, a server that is away."""
    try:
        yield
    except (Finding, Refused, UsageError):
        raise
    except REPORTED as error:
        raise RestoreFailed(reason_of(error)) from error


@dataclass(slots=True)
class Recovery:
    """Recovers the estate on the DR site."""

    dr: EstateSite
    services: Sequence[Service]
    repository: Repository
    private_key_ref: str  # the DR recipient's key
    router: TrafficRouter
    dr_edge: str
    entry: str  # the service through which clients reach a site
    client_secrets: Mapping[str, str]
    journal: Journal
    containment: Containment = "disposable"
    leads_to: str = "dr"  # the name of the site for front door and gateways
    freshness: Callable[[Sql], bool | None] = lambda _sql: None  # is the promised RPO met? None without a ledger
    start_messages: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # numbers of start and connection
    fence: Callable[[], None] = lambda: None  # stops an old primary that may still take writes, before the switch
    assertions: Callable[[Sql], tuple[AssertionResult, ...]] = lambda _sql: ()  # asked of the restored databases
    on_bytes: Callable[[int], None] = lambda _count: None
    parallel: int = 4  # databases that are restored at a time
    allowed: Allowed = NOTHING  # what of a backup may be made although it gives power over the server
    run: Path | None = None  # where a base backup is unpacked, None: dumps are restored
    standby: Standby | None = None  # is promoted where it can be
    stopped: str = ""  # the failed phase, "" before a failure
    _backup: OpenBackup | None = None  # that was restored

    @contextmanager
    def _phase(self, name: str, message: str = "") -> Iterator[None]:
        """Run one phase and record a failure of it; raises Refused after a failed phase."""
        if self.stopped:
            raise Refused(f"phase {name} refused: the recovery stopped in phase {self.stopped}")
        try:
            with phase(self.journal, name, message=message):
                yield
        except BaseException:
            self.stopped = name
            raise

    @contextmanager
    def _or_stop(self) -> Iterator[None]:
        """Log a failure of selection or restore, a defect and an interruption too, as 2.5.1; stop as 2.5.2."""
        try:
            yield
        except BaseException as error:
            self.journal.mark("log", "DR restore failed", message="2.5.1", error=described(error))
            self.journal.mark("stop", "recovery", message="2.5.2", reason="no service started, no traffic switched")
            raise

    def activate(self) -> Activated:
        """2.2: start the DR infrastructure; return the status of each node. Raises HarnessError."""
        with self._phase("activate", "2.2"):
            nodes = self.dr.activate()
            for node in nodes:
                self.journal.mark("status", node.node, ready=node.ready, detail=node.detail)
        return Activated(nodes)

    def select(self, _activated: Activated) -> Selected:
        """2.3: return the newest backup that is authentic to its last segment. Raises NoValidBackup with reasons."""
        with self._or_stop(), self._phase("select", "2.3"):
            key = read_text_secret(self.private_key_ref)
            selection = self.repository.latest_valid(key, self.on_bytes)
            for backup_id, reason in selection.passed_over:
                self.journal.mark("passed over", backup_id, reason=reason)
            manifest = selection.backup.manifest
            self.journal.mark(
                "selected", manifest.backup_id, snapshot_at=manifest.contents.snapshot_at.isoformat(timespec="seconds")
            )
            lacking = tuple(map(str, not_in(self.services, manifest.contents)))
            server = choose_server(self.repository, key, manifest.contents, self.standby) if self.run else DUMPS
            for line in (*manifest.contents.lacking(base=bool(server.ways)), *lacking):
                self.journal.mark("not covered", manifest.backup_id, what=line)
            for way in server.ways[:1]:
                self.journal.mark("selected", way.name, range=way.range)
            findings = tuple(dict.fromkeys((*selection.findings, *server.findings)))
            for line in findings:
                self.journal.mark(FINDING, "repository", reason=line)
        return Selected(selection.backup, selection.passed_over, lacking, findings, selection.head, server)

    def restore(self, selected: Selected) -> Restored:
        """2.4: decrypt, decompress, restore and compare with the manifest; return the result. Raises RestoreFailed."""
        self._backup = selected.backup
        with self._or_stop(), _as_failed(), self.dr.explaining():
            work = Restore(
                self.dr.place, self.services, selected.backup, self.journal, self.on_bytes, self.parallel,
                self.allowed, self._server_restore(selected), kept=selected.kept,
            )  # fmt: skip
            try:
                with self._phase("fetch", "2.4"):
                    work.prepare()
                with self._phase("open", "2.4.1"):
                    work.open()
                with self._phase("restore", "2.4.2"):
                    work.execute()
            except BaseException:
                with suppress(RestoreFailed):  # the restore error is raised; the failed wipe is journalled
                    work.wipe()
                raise
            work.wipe()
            with self._phase("db"):
                return self._assert(work.check(self.freshness))

    def _server_restore(self, selected: Selected) -> ServerRestore | None:
        if self.run is None or not selected.server.ways:
            return None
        return ServerRestore(
            self.dr.place, selected.server, self.repository, read_text_secret(self.private_key_ref), selected.contents,
            self.dr.replace_database, self.run, self.journal, self.parallel, self.standby,
        )  # fmt: skip

    def _assert(self, restored: Restored) -> Restored:
        """Ask all assertions; return the result with a line for each, and a finding or a doubt for those not passed."""
        with clerk(self.dr.place.sql) as sql:
            results = (*self.assertions(sql), *asserted_by(self.services, replace(self.dr.place, sql=sql)))
        note_results(self.journal, results)
        failed = tuple(f"assertion failed: {one.line}" for one in results if one.passed is False)
        doubts = tuple(f"assertion without a result: {one.line}" for one in results if one.passed is None)
        for line in (*failed, *doubts):
            self.journal.mark(FINDING if line in failed else DOUBT, "assertion", reason=line)
        asserted = tuple(one.line for one in results)
        return replace(restored, assertions=asserted, findings=restored.findings + failed, doubts=doubts)

    def start(self, restored: Restored) -> Started:
        """2.6: contain, start and check the services; return their statuses. Raises Finding, HarnessError."""
        with self._phase("app", "2.6"):
            start.require_fingerprints(self.dr.secrets, restored.contents.fingerprints)
            contained = restored.held + contain_all(self.services, self.dr.place, self.containment, self.journal)
            statuses = start.start_all(self.dr, self.services, self.journal, self.start_messages)
            unconnected = start.find_connections(
                self.dr.place.sql, self.services, restored.contents, self.journal, self.start_messages, restored.left
            )
        return Started(restored, statuses, contained, unconnected)

    def switch(self, started: Started) -> Switched:
        """2.7: fence the old primary, route front door and public name to DR, and prove it. Raises HarnessError."""
        with self._phase(SWITCH, "2.7"):
            self.fence()
            status = self.router.switch(self.leads_to, self.dr.address_of(self.entry), self.dr_edge)
            self.journal.mark("status", "routing", front=status.front, address=status.address)
            for one in status.reached:
                self.journal.mark("reached", one.address, site=one.site)
        return Switched(started, status.front, status.address)

    def test(self, switched: Switched) -> Tested:
        """2.8: run every key function through the public front door; return the results. Raises Finding."""
        with self._phase("key"):
            functions = [f for s in self.services for f in s.key_functions(self.client_secrets)]
            results = key_functions.run_key_functions(functions, self.router.door, self.journal)
            event = self.journal.mark("held", "key functions", rounds=key_functions.ROUNDS)
            started = switched.started
            start.require_connections(self.dr.place.sql, started.unconnected, self.journal, self.start_messages)
        return Tested(switched, results, event.at)

    def sign_off(self, tested: Tested) -> SignOff:
        """Compare what was restored with the backup once more; return the result. Raises Finding for a loss."""
        restored = tested.switched.started.restored
        if self._backup is None:
            raise HarnessError("nothing was restored: there is nothing to compare")
        return check_again(self.dr.place, self.services, restored, self._backup, self.journal, self.parallel)


def may_serve(events: Iterable[Event]) -> bool:
    """Return whether clients may use the DR site of a recovery with these events: its switch has begun."""
    return any((event.kind, event.subject) == ("begin", SWITCH) for event in events)
