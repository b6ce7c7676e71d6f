"""Environment of a drill: both sites, offsite store, front door, name service and clients."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness.alerts.alerts import Alerts
from harness.alerts.receiver import Receiver
from harness.alerts.sink import AlertSink
from harness.backup.build import orchestrator_of
from harness.backup.orchestrator import BackupOrchestrator
from harness.core.errors import HarnessError
from harness.core.journal import Journal
from harness.core.node import Fillable, Node, Site, Substrate
from harness.core.parallel import in_parallel
from harness.core.service import S3, PublicDoor, Service, Sql
from harness.drill.archiving import Archiving, start_archiving
from harness.drill.returned import Returned
from harness.drill.template import Template, clone, load_objects
from harness.drill.warm import await_standby, start_standby
from harness.estate.config import Config
from harness.estate.connections import BUCKET, Connections, Offsite
from harness.estate.isolation import admit, require_separate
from harness.estate.registry import build_services, entry_of, sinks_at
from harness.estate.secrets import Secrets
from harness.estate.site import EstateSite
from harness.estate.state_file import WITNESS, StateFile
from harness.physical.standby.standby import Standby
from harness.postgres.identity import system_facts
from harness.recovery.build import recovery_of
from harness.recovery.recovery import Recovery
from harness.recovery.start import start_all
from harness.recovery.traffic_switch import Edge, open_edge
from harness.repository.catalogue import Repository
from harness.s3 import server as objects
from harness.s3.client import ensure_bucket
from harness.s3.replication import Replicator
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.undo_journal import Undo, UndoJournal


@dataclass(slots=True)
class DrillEnvironment:
    """A running example estate. All of it belongs to one run folder and is swept with it."""

    config: Config
    template: Template
    run: Path
    logs: Path
    journal: Journal
    make: Callable[[Path, Path], Substrate] = Embedded
    substrate: Substrate = field(init=False)
    secrets: Secrets = field(init=False)
    services: tuple[Service, ...] = field(init=False)
    primary: EstateSite = field(init=False)
    dr: EstateSite = field(init=False)
    offsite_site: Site = field(init=False)
    receiver: Receiver = field(init=False)
    alert_sink: AlertSink = field(init=False)
    recipients: tuple[str, ...] = field(init=False)  # references to the keys that the live site's backups are sealed to
    systems: tuple[str, ...] = ()  # the database systems of both sites, once DR is the live one
    offsite: Node | None = None
    _offsite_with_room: Node | None = None  # set while a full store replaces it
    edge: Edge | None = None
    replicator: Replicator | None = None
    copied: float | None = None  # of the lost site: see `Replicator.stop`; None: nothing was replicated
    archiving: Archiving | None = None
    standby: Standby | None = None
    returned: Returned | None = None  # of a failback: the old primary's database server, rewound

    def __post_init__(self) -> None:
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.substrate = self.make(self.run, self.logs)
        try:
            if isinstance(self.substrate, Embedded):
                require_separate(self.config)
            self._lay_out()
        except BaseException:
            self.substrate.sweep()
            raise

    def _lay_out(self) -> None:
        self.secrets = clone(self.template, self.run, self.substrate)
        self.recipients = self.secrets.recipients_of("primary")
        self.receiver = Receiver(self.substrate.here).__enter__()
        self.alert_sink = AlertSink().__enter__()
        self.services = build_services(self.config, self.receiver)
        sinks = sinks_at(self.config, self.receiver.url)
        self.primary = EstateSite(self.substrate.site("primary"), self.secrets.of("primary"), sinks)
        self.dr = EstateSite(self.substrate.site("dr"), self.secrets.of("dr"), sinks)
        admit(self.dr.site, sinks)
        self.offsite_site = self.substrate.site("offsite")

    def start_data(self) -> None:
        """Start the primary's database and store, and the offsite store, as a backup needs. Raises HarnessError."""
        in_parallel({"primary": self._start_data, "offsite": self._start_offsite})

    def _start_data(self) -> None:
        self.primary.activate()
        load_objects(self.template, self.primary.place.s3)

    def _start_offsite(self) -> None:
        site, secrets = self.offsite_site, self.secrets.of("offsite")
        self.offsite = site.launch(objects.server_spec(site, "offsite", secrets=secrets))
        ensure_bucket(self.offsite_s3, BUCKET, versioning=False)

    def refill_offsite(self, limit_mb: int) -> None:
        """Restart the offsite store with a size limit of `limit_mb`; its objects are kept. Raises HarnessError."""
        if isinstance(volume := self.offsite_site.volume("objects"), Fillable):
            volume.fill()
            return
        if self.offsite is not None:
            self.offsite.kill()
        site, secrets = self.offsite_site, self.secrets.of("offsite")
        self._offsite_with_room = self.offsite
        self.offsite = site.launch(objects.server_spec(site, "offsite-full", secrets=secrets, limit_mb=limit_mb))

    def revive_offsite(self) -> None:
        """Restart a killed offsite store, and remove the limit of `refill_offsite`. Raises HarnessError."""
        if isinstance(volume := self.offsite_site.volume("objects"), Fillable):
            volume.drain()
        if self._offsite_with_room is not None:
            if self.offsite is not None:
                self.offsite.kill()
            self.offsite, self._offsite_with_room = self._offsite_with_room, None
        if self.offsite is not None:
            self.offsite.start()

    @property
    def offsite_s3(self) -> S3:
        """Connection to the offsite store; raises HarnessError before it is started."""
        if self.offsite is None:
            raise HarnessError("the offsite store is not started yet")
        secrets = self.secrets.of("offsite")
        return objects.s3_of(self.offsite, secrets[objects.ACCESS], secrets[objects.SECRET])

    @property
    def repository(self) -> Repository:
        """The backup repository; raises HarnessError before the offsite store is started."""
        return self.connections.repository

    @property
    def connections(self) -> Connections:
        """Connections to this estate; raises HarnessError before the offsite store is started."""
        return Connections(
            self.config,
            self.services,
            Offsite(self.offsite_s3.outside, self.secrets.of("offsite"), short=True),
            primary=self.primary,
            dr=self.dr,
            recipients=self.recipients,
            client_secrets=self.secrets.of("clients"),
            witness=self.run / WITNESS,
            systems=self.systems,
        )

    def start_services(self) -> None:
        """Start the primary's services, what copies its data, and the public edge. Raises HarnessError."""
        archive = {"archive": self.start_archiving} if self.config.backup.mode == "physical" else {}
        in_parallel({"services": self._start_primary, "replica": self._start_replica, **archive})
        self.edge = open_edge(
            self.substrate.site("edge"),
            self.config,
            self.secrets.of("names"),
            self.primary.address_of(entry_of(self.config)),
            "primary",
        )
        if self.config.sites.dr.strategy == "warm":
            self.standby = start_standby(self.config, self.state, self.logs / "dr", self.journal)

    def start_archiving(self) -> None:
        """Start the receiver of WAL of the live site; return once it receives. Raises HarnessError."""
        sql, logs = self.primary.place.sql, self.logs / self.primary.site.name
        self.archiving = start_archiving(self.config, self.state, sql, logs, self.journal)

    @property
    def state(self) -> StateFile:
        """The state file of this estate, without public addresses before its services are started.

        Raises HarnessError before its data are started.
        """
        place, edge = self.primary.place, self.edge
        port = edge.front.node.endpoint("http").outside.port if edge is not None else 0
        return StateFile(
            estate=self.config.estate.name,
            site=self.primary.site.name,
            run=str(self.run.resolve()),
            logs=str(self.logs.resolve()),
            secrets=str(self.secrets.root.resolve()),
            sql=str(place.sql.outside),
            s3=str(place.s3.outside),
            offsite=str(self.offsite_s3.outside),
            public=f"{self.config.sites.primary.edge}:{port}" if edge is not None else "",
            names=str(edge.names.address) if edge is not None else "",
        )

    def _start_primary(self) -> None:
        start_all(self.primary, self.services, self.journal, {})

    def _start_replica(self) -> None:
        if self.config.sites.dr.strategy == "cold":
            return  # a cold DR site has no running store: objects are restored from the backup
        self.dr.start_store()
        buckets = tuple(sorted({o.bucket for s in self.services for o in s.sources().objects}))
        if self.dr.s3 is None or not buckets:
            return
        for bucket in buckets:
            ensure_bucket(self.dr.s3, bucket)
        self.replicator = Replicator(
            self.substrate.site("replication"), self.primary.place.s3, self.dr.s3, buckets, self.journal
        )
        self.replicator.start()

    @property
    def door(self) -> PublicDoor:
        """A client of the public name; raises HarnessError before the services are started."""
        return self.opened_edge.door

    @property
    def opened_edge(self) -> Edge:
        """The public edge; raises HarnessError before the services are started."""
        if self.edge is None:
            raise HarnessError("the public edge is not open yet; start the services first")
        return self.edge

    @property
    def backups(self) -> BackupOrchestrator:
        """The Backup Orchestrator of the primary, whose alerts go to the drill's own sink."""
        live = self.primary.site.name
        self.secrets.put(live, "alert-url", self.alert_sink.url.encode())
        return orchestrator_of(self.connections, Alerts((self.secrets.of(live)["alert-url"],)), self.journal)

    def recovery(
        self, freshness: Callable[[Sql], bool | None], on_bytes: Callable[[int], None] = lambda _count: None
    ) -> Recovery:
        """Return the recovery on the DR site of this environment, with disposable containment. Raises HarnessError."""
        return recovery_of(
            self.connections, self.opened_edge, self.journal, "disposable",
            freshness=freshness, on_bytes=on_bytes, run=self.run, standby=self.standby or self.returned,
        )  # fmt: skip

    def turn_round(self, journal: Journal) -> None:
        """Make DR the live site, and a new, empty primary the one that is recovered to. Raises HarnessError.

        Each gets the keys of its new part; the writer's key of DR is trusted, and so is its database system. Objects
        are replicated back, unless DR is cold, and WAL is shipped from DR where it was from the primary.
        """
        self.journal, self.standby, self.copied = journal, None, None  # all objects come from DR's last backup
        self.systems = (self.template.identity.system, system_facts(self.dr.place.sql).identifier)
        self.secrets.turn_round()
        self.dr.secrets = self.secrets.of("dr")
        rebuilt = EstateSite(self.substrate.site("primary"), self.secrets.of("primary"), self.primary.sinks)
        self.primary, self.dr, self.recipients = self.dr, rebuilt, self.secrets.recipients_of("dr")
        if self.config.backup.mode == "physical":
            self.start_archiving()
        self._start_replica()

    def await_standby(self) -> None:
        """Return once the standby has applied all that the primary has written by now. Raises HarnessError."""
        if self.standby is None:
            raise HarnessError('no standby follows this primary; write strategy = "warm" under [sites.dr]')
        await_standby(self.standby, self.primary.place.sql, self.journal)

    def expect_strike(self) -> None:
        """Write down how the strike is undone. Raises HarnessError."""
        UndoJournal(self.run).note(Undo.RUN, what="strike: the primary site of this run is destroyed")

    def losing(self, destroy: Callable[[EstateSite], None]) -> Callable[[EstateSite], None]:
        """Return a strike that takes along what runs beside the primary: its receiver of WAL, and the replication."""

        def lose(site: EstateSite) -> None:
            self.stop_archiving()
            self.copied = self.stop_replication()
            destroy(site)

        return lose

    def stop_archiving(self) -> None:
        """Kill the receiver of WAL of the live site."""
        if self.archiving is not None:
            self.archiving.lose()
            self.archiving = None

    def stop_replication(self) -> float | None:
        """Stop the replication, see `Replicator.stop`; afterwards the harness does not read the primary."""
        replicator, self.replicator = self.replicator, None
        return replicator.stop() if replicator is not None else None

    def close(self) -> None:
        """Stop and remove everything except the logs."""
        with ExitStack() as ends:  # each of them, whatever the others do; the last one first
            ends.callback(self.substrate.sweep)
            ends.push(self.alert_sink)
            ends.push(self.receiver)
            for follower in (self.returned, self.standby):
                if follower is not None:
                    ends.callback(follower.end)
            ends.callback(self.stop_replication)
            ends.callback(self.stop_archiving)
