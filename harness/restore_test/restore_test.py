"""The nightly restore drill: the newest valid backup is restored, started and tested on a DR site, then cleared away.

It strikes nothing and leads no client anywhere. Its repository may be production's: it is only read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from harness.core.budget import Promise
from harness.core.clock import SYSTEM, Clock
from harness.core.errors import Finding, HarnessError, NoValidBackup, Refused, RestoreFailed, UsageError
from harness.core.exposure import exposure
from harness.core.journal import Journal
from harness.core.judge import Verdict
from harness.core.node import Address
from harness.core.record import DrillRecord, FindingEntry
from harness.core.service import Mode, PublicDoor, Service
from harness.estate.site import EstateSite
from harness.evidence.folder import RecordFolder
from harness.evidence.record import DUE, Paper, phases_of, promise_facts, seen_messages
from harness.evidence.refine import refine
from harness.recovery.recovery import Recovery, Selected, Switched, Tested
from harness.recovery.restore import Restored
from harness.recovery.traffic_switch import RoutingStatus
from harness.repository.catalogue import Repository
from harness.restore_test.cleanup import Footprint, footprint, take_away
from harness.restore_test.interlock import Interlock
from harness.restore_test.preflight import require_empty, require_nobody_served, require_own_gateway
from harness.substrate.existing.site import NOT_DRILLED, ExistingSite
from harness.traffic.door import Door

WINDOW = timedelta(days=1)
INFRASTRUCTURE = ("postgres", "objects")
THE_ESTATES_OWN = ("restore", "db", "app", "key")  # phases in which a failure says that the estate does not come back
LEFT_OUT = (
    "1.1 to 1.6: a restore drill takes no backup",
    "2.1: a restore drill strikes nothing",
    "2.7: clients stay where they are; the key functions are tested at the DR site's own gateway",
    "RTO: without a strike there is no fault to count from; the time from activation is in the notes",
    "RPO of clients: without a strike nobody lost a write; the age of the data is judged as exposure",
)


@dataclass(frozen=True, slots=True)
class Fixed:
    """A name that is one address, whatever it is called."""

    address: str

    def resolve(self, _name: str) -> str:
        """Return the address."""
        return self.address


@dataclass(frozen=True, slots=True)
class OwnGateway:
    """The DR site's own gateway, in the place of the public edge: clients are not led there."""

    public_name: str
    where: Callable[[], Address]

    @property
    def door(self) -> PublicDoor:
        """A client of the gateway."""
        address = self.where()
        return Door(self.public_name, address.port, Fixed(address.host))

    def switch(self, site: str, upstream: Address, address: str) -> RoutingStatus:
        """Refuse. Raises Refused."""
        raise Refused(f"a restore drill leads no client to {site} ({upstream}, {address}); 2.7: not drilled")


@dataclass(slots=True)
class Rehearsal:
    """One restore drill.

    `where`: the gateway's address once the services are up. `interlock`: None for a site that the drill made itself.
    `mode`: how outward actions are held. `found`: what was on the site before anything was restored.
    """

    name: str
    objective: str
    estate: str
    public_name: str
    dr: EstateSite
    services: Sequence[Service]
    repository: Repository
    private_key_ref: str
    client_secrets: Mapping[str, str]
    where: Callable[[], Address]
    promise: Promise
    folder: RecordFolder
    journal: Journal
    paper: Paper
    interlock: Interlock | None = None
    mode: Mode = "real"
    start_messages: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    on_bytes: Callable[[int], None] = lambda _count: None
    clock: Clock = SYSTEM
    findings: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    selected: Selected | None = None
    restored: Restored | None = None
    tested: Tested | None = None
    began: float = 0.0
    began_wall: datetime | None = None
    found: Footprint | None = None
    _recovery: Recovery | None = None

    def run(self) -> DrillRecord:
        """Carry it out, clear everything away, write the record and return it. Nothing of the estate raises here."""
        began = self.journal.mark("declared", "restore drill", estate=self.estate)
        self.began, self.began_wall = began.at, began.wall
        try:
            self._attempt(self._carry_out)
        except KeyboardInterrupt:  # a cancelled drill leaves a record as well
            self._doubt("interrupted before it was done")
        finally:
            self._attempt(self._clear)
        return self._document(self._exposure(began.wall))

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (Finding, HarnessError, OSError) as error:
            if isinstance(error, Finding | RestoreFailed | NoValidBackup) or self._came_to_nothing(error):
                self.journal.mark("finding", self.name, error=str(error))
                self.findings.append(str(error))
            else:
                self._doubt(str(error))

    def _doubt(self, reason: str) -> None:
        self.journal.mark("doubt", self.name, error=reason)
        self.doubts.append(reason)

    def _came_to_nothing(self, error: Exception) -> bool:
        """Return whether the estate failed to come back, as opposed to a drill that could not be carried out."""
        stopped = self._recovery.stopped.partition(":")[0] if self._recovery else ""
        return stopped in THE_ESTATES_OWN and not isinstance(error, Refused | UsageError)

    def _carry_out(self) -> None:
        if self.interlock is not None:
            listed = self.interlock.before()
            self.journal.mark("interlock", self.dr.site.name, listed=", ".join(target.name for target in listed))
            require_nobody_served(self.dr.site, self.services)
        recovery = self._recovery = self._make_recovery()
        activated = recovery.activate()
        if self.interlock is not None:
            target = self.interlock.after()
            self.journal.mark("interlock", self.dr.site.name, target=target.name, system=target.system)
            require_empty(self.dr.place)
        self.found = footprint(self.dr.place, self.services)
        self.selected = recovery.select(activated)
        self.restored = recovery.restore(self.selected)
        started = recovery.start(self.restored)
        require_own_gateway(recovery.edge.door, self.dr.site.name, self.where())
        self.tested = recovery.test(Switched(started, "not switched", str(self.where())))

    def _make_recovery(self) -> Recovery:
        return Recovery(
            estate=self.estate,
            dr=self.dr,
            services=self.services,
            repository=self.repository,
            private_key_ref=self.private_key_ref,
            edge=OwnGateway(self.public_name, self.where),
            dr_edge="",
            client_secrets=self.client_secrets,
            journal=self.journal,
            mode=self.mode,
            start_messages=self.start_messages,
            on_bytes=self.on_bytes,
        )

    def _clear(self) -> None:
        """End the services, remove what was restored, and leave the infrastructure as it was found."""
        site = self.dr.site
        try:
            self._end_services()
            if self.selected is not None and self.found is not None:
                removed = take_away(self.dr.place, self.services, self.selected.backup.manifest, self.found)
                self.journal.mark("cleared", site.name, removed="; ".join(removed))
        finally:
            if isinstance(site, ExistingSite):
                site.scale_down()

    def _end_services(self) -> None:
        if isinstance(self.dr.site, ExistingSite):
            self.dr.site.scale_down(but=INFRASTRUCTURE)
            return
        for name, node in self.dr.nodes.items():
            if name not in INFRASTRUCTURE:
                node.kill()

    def _exposure(self, until: datetime) -> float | None:
        if self.selected is None:
            return None
        bad = {backup_id for backup_id, _ in self.selected.passed_over}
        try:
            committed = self.repository.committed()
        except HarnessError as error:
            self.doubts.append(str(error))
            return None
        taken = [b.manifest.contents.snapshot_at for b in committed if b.damaged is None and b.backup_id not in bad]
        return exposure(taken, until, WINDOW)

    def _judged(self, exposed: float | None) -> tuple[Verdict, tuple[str, ...]]:
        """Return the verdict and why: BROKEN for what was found, UNKNOWN for what could not be seen."""
        broken, promise = list(self.findings), self.promise
        if exposed is not None and exposed > promise.exposure.total_seconds():
            broken.append(f"exposure too large: {exposed:.0f} s of {promise.exposure.total_seconds():g} s")
        if self.restored is not None and self.restored.lost_objects:
            broken.append(f"{len(self.restored.lost_objects)} referenced objects are nowhere on the DR site")
        if self.tested is not None and (took := self.tested.held_at - self.began) > promise.rto.total_seconds():
            broken.append(
                f"RTO cannot be kept: {took:.1f} s for the restore alone of {promise.rto.total_seconds():g} s"
            )
        doubts = [*self.doubts, *([] if self.tested or broken or self.doubts else ["no key function was tested"])]
        verdict = Verdict.BROKEN if broken else Verdict.UNKNOWN if doubts else Verdict.KEPT
        return verdict, (*broken, *doubts)

    def _document(self, exposed: float | None) -> DrillRecord:
        verdict, reasons = self._judged(exposed)
        self.journal.mark("documented", self.name, message="2.9", verdict=str(verdict))
        record = self._record(exposed, verdict, reasons)
        # What a restore drill leaves out by its nature is no change to propose.
        proposals = refine(replace(record, not_drilled=()))
        self.journal.mark("refined", self.name, message="2.10", proposals=len(proposals))
        self.journal.mark("signoff", self.name, verdict=str(verdict))
        due = (self.clock.wall() + DUE).date().isoformat()
        notes = {f"proposal {n}": f"{p.change} ({p.evidence})" for n, p in enumerate(proposals, 1)}
        record = replace(
            record,
            messages=seen_messages(self.journal.events),
            findings=tuple(FindingEntry(reason, self.promise.owner, due) for reason in reasons),
            notes={**record.notes, **notes},
            finished=self.clock.wall().isoformat(timespec="seconds"),
        )
        self.folder.write(record)
        return record

    def _notes(self) -> Mapping[str, str]:
        notes = {}
        if self.tested is not None:
            notes["from activation to key functions held"] = f"{self.tested.held_at - self.began:.1f} s"
        if self.selected is not None and self.began_wall is not None:
            age = (self.began_wall - self.selected.contents.snapshot_at).total_seconds()
            notes["age of the data"] = f"{age:.0f} s"
        return notes

    @property
    def _limits(self) -> tuple[str, ...]:
        return NOT_DRILLED if isinstance(self.dr.site, ExistingSite) else self.paper.limits

    def _record(self, exposed: float | None, verdict: Verdict, reasons: tuple[str, ...]) -> DrillRecord:
        paper, promise, events = self.paper, self.promise, self.journal.events
        restored, selected, tested = self.restored, self.selected, self.tested
        return DrillRecord(
            drill=self.name,
            objective=self.objective,
            initiator=paper.initiator,
            approver=paper.approver,
            mode="rehearsal",
            substrate=paper.substrate,
            started=events[0].wall.isoformat(timespec="seconds"),
            finished="",
            commit=paper.commit,
            hashes=dict(paper.hashes),
            promise=promise_facts(promise),
            verdict=str(verdict),
            reasons=reasons,
            rto=None,
            rpo=None,
            exposure=exposed,
            acknowledged=0,
            lost=(),
            phantom=(),
            repeated=(),
            lost_objects=restored.lost_objects if restored else (),
            backup={"id": selected.backup.manifest.backup_id} if selected else {},
            passed_over=selected.passed_over if selected else (),
            data_bytes=restored.size if restored else 0,
            data_rows=restored.rows if restored else 0,
            phases=phases_of(events, self.began),
            key_results=tuple(replace(r, at=r.at - self.began) for r in tested.results) if tested else (),
            messages=(),
            versions=dict(paper.versions),
            not_drilled=(*LEFT_OUT, *self._limits),
            findings=(),
            notes=self._notes(),
        )
