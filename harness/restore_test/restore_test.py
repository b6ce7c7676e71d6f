"""Nightly restore test of the newest valid backup on a DR site: destroys nothing, switches no traffic, cleans up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from harness.core.egress import Egress, egress_of
from harness.core.errors import REPORTED, Refused
from harness.core.journal import Journal, resumed_events
from harness.core.judge import Evidence
from harness.core.judged import PROMISED
from harness.core.node import Address
from harness.core.record import DrillRecord
from harness.core.service import Containment, Place, PublicDoor
from harness.estate.connections import Connections
from harness.estate.isolation import uncovered_on
from harness.estate.registry import not_contained
from harness.estate.site import INFRASTRUCTURE
from harness.evidence.failures import Failures
from harness.evidence.folder import RecordFolder
from harness.evidence.record import Outcome, RecordHeader, conclude, open_record
from harness.recovery.begun import DECLARED
from harness.recovery.build import recovery_of
from harness.recovery.exposure import Exposed, exposed_at
from harness.recovery.key_functions import require_asserting, unread
from harness.recovery.outcome import Results
from harness.recovery.recovery import Recovery, Selected, Switched, Tested
from harness.recovery.restore import Restored
from harness.recovery.sign_off import SignOff
from harness.recovery.traffic_switch import RoutingStatus
from harness.restore_test.cleanup import Snapshot, clear, take_snapshot
from harness.restore_test.interlock import Interlock
from harness.restore_test.preflight import require_empty, require_no_service_running, require_own_gateway
from harness.restore_test.undo import SiteUndo
from harness.substrate.existing.site import NOT_DRILLED, ExistingSite
from harness.traffic.door import Door

NEVER_TESTED = (
    "1.1 to 1.6: a restore test takes no backup",
    "2.1: a restore test destroys nothing",
    "2.7: no traffic is switched; the key functions are tested at the DR site's own gateway",
    "RTO: without a strike there is no fault; the notes contain the time from activation",
    "RPO of clients: without a strike no write is lost; the age of the data is judged as exposure",
)

ACTIVATION = "activation"  # the kind of the event from which its time counts


@dataclass(frozen=True, slots=True)
class OwnGateway:
    """The DR site's own gateway, used instead of the public edge: no traffic is switched."""

    public_name: str
    where: Callable[[], Address]

    @property
    def door(self) -> PublicDoor:
        """A client of the gateway."""
        address = self.where()
        return Door(self.public_name, address.port, lambda _name: address.host)

    def switch(self, site: str, upstream: Address, address: str) -> RoutingStatus:
        """Always refused; raises Refused."""
        raise Refused(f"a restore test switches no traffic to {site} ({upstream}, {address}); 2.7: not drilled")


@dataclass(slots=True)
class RestoreTest:
    """One restore test."""

    header: RecordHeader
    connections: Connections
    gateway: Callable[[], Address]  # address of the DR site's gateway once the services are up
    folder: RecordFolder
    journal: Journal
    interlock: Interlock | None = None  # None for a DR site made for the test
    containment: Containment = "reversible"
    before_start: Callable[[Place], None] = lambda _place: None  # called before the services start on restored data
    remove: Callable[[], None] | None = None  # removes a DR site that was made for the test
    made_anew: tuple[str, ...] = ()  # names of secrets that are not production's
    on_bytes: Callable[[int], None] = lambda _count: None
    selected: Selected | None = None
    restored: Restored | None = None
    tested: Tested | None = None
    signed_off: SignOff | None = None
    activated_at: float | None = None
    egress: Egress | None = None  # of the site, before it was cleared
    before: Snapshot | None = None  # inventory of the site before the restore
    undo: SiteUndo | None = None  # of an existing site; a site that was made for the test goes with its run
    noted: str = ""  # id of the restore in the undo journal
    failures: Failures = field(init=False)
    _recovery: Recovery | None = None

    def __post_init__(self) -> None:
        self.failures = Failures(self.header.drill, self.journal, self.folder.logs)

    def run(self) -> DrillRecord:
        """Run the test, clean up, write the record and return it; failures are in the record."""
        events = resumed_events(self.journal.events)
        begun = next((event for event in events if event.kind == DECLARED), None)
        began = begun or self.journal.mark(DECLARED, "restore test", estate=self.connections.config.estate.name)
        if not any(event.kind == PROMISED for event in events):
            open_record(self.header, self.folder, self.journal)
        self.activated_at = next((event.at for event in events if event.kind == ACTIVATION), None)
        self._attempt(self._carry_out)
        self._attempt(self._ask_egress, phase="")
        self._attempt(self._clear, phase="")
        exposed = self._measure_exposure(began.wall)
        return conclude(self.header, self._outcome(began.wall, exposed), self.folder, self.journal)

    def _attempt(self, work: Callable[[], None], phase: str | None = None) -> None:
        try:
            work()
        except BaseException as error:  # an interrupted or defective test leaves a record too
            stopped = self._recovery.stopped if self._recovery is not None else ""
            self.failures.note(error, stopped if phase is None else phase)
            if not isinstance(error, Exception | KeyboardInterrupt):
                raise

    def _carry_out(self) -> None:
        dr, services = self.connections.recovered, self.connections.services
        require_asserting(services, self.connections.client_secrets)
        if self.interlock is not None:
            listed = self.interlock.before()
            self.journal.mark("interlock", dr.site.name, listed=", ".join(target.name for target in listed))
            require_no_service_running(dr.site, services)
        router = OwnGateway(self.connections.config.public_name, self.gateway)
        recovery = self._recovery = recovery_of(
            self.connections, router, self.journal, self.containment, on_bytes=self.on_bytes
        )
        activation = self.journal.mark(ACTIVATION, dr.site.name)
        self.activated_at = self.activated_at or activation.at
        activated = recovery.activate()
        if self.interlock is not None:
            target = self.interlock.after()
            self.journal.mark("interlock", dr.site.name, target=target.name, system=target.system)
            require_empty(dr.place)
        self.selected = recovery.select(activated)
        self.before = take_snapshot(dr.place, services, self.selected.contents)
        if self.undo is not None:
            self.noted = self.undo.before_restore(dr.place, self.before, self.selected.backup)
        self.restored = recovery.restore(replace(self.selected, kept=self.before.files))
        self.before_start(dr.place)
        started = recovery.start(self.restored)
        require_own_gateway(router.door, dr.site.name, self.gateway())
        self.tested = recovery.test(Switched(started, "not switched", str(self.gateway())))
        self.signed_off = recovery.sign_off(self.tested)

    def _ask_egress(self) -> None:
        self.egress = egress_of(self.connections.recovered.site)

    def _clear(self) -> None:
        """Stop the services, remove the restored data and restore the earlier scale of the infrastructure."""
        dr = self.connections.recovered
        if self.remove is not None:
            self.remove()
            self.journal.mark("cleared", dr.site.name, removed="the whole site, which was made for this test")
            return
        try:
            self._end_services()
            if self.selected is not None and self.before is not None:
                manifest = self.selected.backup.manifest
                names = [database.name for database in manifest.contents.databases]
                removed = clear(dr.place, manifest.backup_id, names, self.before)
                if self.undo is not None:
                    self.undo.journal.undone(self.noted)
                self.journal.mark("cleared", dr.site.name, removed="; ".join(removed))
        finally:
            if isinstance(dr.site, ExistingSite):
                dr.site.scale_down()

    def _end_services(self) -> None:
        dr = self.connections.recovered
        if isinstance(dr.site, ExistingSite):
            dr.site.scale_down(but=INFRASTRUCTURE)
            return
        for name, node in dr.nodes.items():
            if name not in INFRASTRUCTURE:
                node.kill()

    def _measure_exposure(self, until: datetime) -> Exposed:
        if self.selected is None:
            return Exposed()
        try:
            return exposed_at(self.connections, until)
        except REPORTED as error:
            self.failures.note(error, "")
            return Exposed()

    def _outcome(self, began: datetime, exposed: Exposed) -> Outcome:
        results = Results(self.selected, self.restored, self.tested, self.signed_off)
        dr, config, services = self.connections.recovered.site, self.connections.config, self.connections.services
        seen = Evidence(
            promise=self.header.promise,
            activated=self.activated_at,
            exposure=exposed.seconds,
            findings=tuple(self.failures.findings),
            doubts=tuple(self.failures.doubts),
            checks=len(self.tested.results) if self.tested else 0,
        )
        lacking = (
            *NEVER_TESTED,
            *(NOT_DRILLED if isinstance(dr, ExistingSite) else self.header.limits),
            *not_contained(config, services),
            *(unread(services, self.selected.contents) if self.selected else ()),
        )
        observed, notes = results.observed(seen, uncovered_on(dr, config)), {**self._notes(began), **exposed.note}
        return results.outcome(observed, lacking, notes, self.egress)

    def _notes(self, began: datetime) -> Mapping[str, str]:
        notes = {}
        if self.tested is not None and self.activated_at is not None:
            notes["from activation to key functions passed"] = f"{self.tested.passed_at - self.activated_at:.1f} s"
        if self.selected is not None:
            notes["age of the data"] = f"{(began - self.selected.contents.snapshot_at).total_seconds():.0f} s"
        if self.made_anew:
            notes["secrets made for this site"] = ", ".join(self.made_anew)
        return notes
