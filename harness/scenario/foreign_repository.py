"""Restore tests from a repository that another estate wrote: on a DR site made for the test, or on an existing one."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from harness.core.contents import TableFacts
from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.core.node import Address
from harness.core.record import DrillRecord
from harness.core.service import S3, Place, Service
from harness.drill.drill import Drill
from harness.drill.environment import DrillEnvironment
from harness.estate.config import Config
from harness.estate.connections import Connections, Offsite
from harness.estate.existing import workspace
from harness.estate.existing_config import ExistingOffsiteTable, ExistingSiteTable, ExistingTable
from harness.estate.registry import entry_of
from harness.estate.site import INFRASTRUCTURE, EstateSite
from harness.evidence.record import RecordHeader
from harness.postgres import dump
from harness.postgres.identity import databases, system_facts
from harness.restore_test.build import restore_test_of
from harness.restore_test.cleanup import Snapshot, take_snapshot
from harness.restore_test.restore_test import RestoreTest
from harness.s3.client import client, ensure_bucket, tag
from harness.scenario.checks.verdict import require
from harness.substrate.existing.site import NOT_DRILLED, ExistingSite

TAG = "a drill target"


@dataclass(frozen=True, slots=True)
class ManualOperator:
    """Starts and stops the services of an existing site, as its operators would."""

    site: EstateSite
    services: Mapping[str, Service]

    def replicas(self, node: str) -> int | None:
        """Return 1 while the service runs, None for what is always up."""
        if node not in self.services:
            return None
        return int(node in self.site.nodes and self.site.nodes[node].alive)

    def scale(self, node: str, replicas: int, patience: float) -> None:
        """Start or end it."""
        if replicas:
            self.site.start_service(self.services[node])
        else:
            self.site.nodes[node].kill()


Facts = tuple[str, tuple[TableFacts, ...], tuple[tuple[str, int], ...]]  # owner, tables, sequences


@dataclass(frozen=True, slots=True)
class Seen:
    """What a repository and the estate that wrote it hold: digests by object, facts by database, objects."""

    repository: Mapping[str, str]
    facts: Mapping[str, Facts]
    objects: frozenset[str]


class ForeignRepository:
    """The estate that wrote the repository, and the drill on whose DR site it is restored.

    The other estate always runs on the embedded substrate: a repository does not depend on the substrate.
    """

    def __init__(self, ours: Drill) -> None:
        world = ours.environment
        run = world.run.with_name(f"{world.run.name}-other")
        self.ours = ours
        self.other = DrillEnvironment(world.config, world.template, run, world.logs / "other", MemoryJournal())
        self._mistaken: Place | None = None
        self._keys = self.other.secrets.root / "dr"
        self._seen: Seen | None = None
        self._before: Snapshot | None = None
        self._held: tuple[Mapping[str, Facts], frozenset[str]] | None = None

    def write(self) -> Self:
        """Have the other estate take a backup; return this, with what it then holds noted."""
        self.other.start_data()
        self.other.backups.back_up()
        self._seen = self._look()
        return self

    def close(self) -> None:
        """Leave nothing of the other estate behind."""
        self.other.close()

    def note(self) -> None:
        """Note what the repository and the other estate hold now, to be compared after the test."""
        self._seen = self._look()

    def prepare_existing_site(self) -> None:
        """Start the DR site's database and store, and put its identity on the list of drill targets."""
        site = self._dr()
        site.activate()
        ensure_bucket(site.place.s3, self.bucket)
        tag(site.place.s3, self.bucket, TAG)
        self.allow(system_facts(site.place.sql).identifier, TAG)

    def _dr(self) -> EstateSite:
        """Return our DR site, which holds the other estate's DR secrets: without them nothing can be opened."""
        site = self.ours.environment.dr
        site.secrets = self.other.secrets.of("dr")
        return site

    @property
    def bucket(self) -> str:
        """The bucket whose tag says which estate it belongs to."""
        return self.other.template.identity.bucket

    @property
    def targets(self) -> Path:
        """The list of drill targets."""
        return self.ours.environment.run / "drill-targets.toml"

    def allow(self, system: str, tagged: str) -> None:
        """Write the list of drill targets, with one entry."""
        self.targets.write_text(
            f'[[target]]\nname = "dr"\nsystem = "{system}"\nbucket = "{self.bucket}"\ntag = "{tagged}"\n',
            encoding="utf-8",
        )

    def run_on_new_site(self) -> DrillRecord:
        """Run a restore test on a DR site that is made for it; return the record."""
        ours, other, site = self.ours, self.other, self._dr()
        config = ours.environment.config
        work = RestoreTest(
            header=self._header,
            connections=Connections(
                config,
                ours.environment.services,
                Offsite(other.offsite_s3.outside, other.secrets.of("offsite"), read_only=True),
                dr=site,
                client_secrets=other.secrets.of("clients"),
            ),
            gateway=self._gateway,
            folder=ours.folder,
            journal=ours.journal,
            containment="disposable",
        )
        ours.record = work.run()
        self._before = work.before
        return ours.record

    @property
    def record(self) -> DrillRecord:
        """The record of the restore test; raises HarnessError before one was run."""
        if self.ours.record is None:
            raise HarnessError("no restore test was run yet")
        return self.ours.record

    @property
    def _header(self) -> RecordHeader:
        return replace(self.ours.header, mode="restore test")

    def _gateway(self) -> Address:
        config = self.ours.environment.config
        return self.ours.environment.dr.nodes[entry_of(config)].endpoint("http").outside

    def run_on_existing_site(self) -> DrillRecord:
        """Run a restore test on the existing DR site, as `blackstart restore-test` does; return the record."""
        ours, site = self.ours, self.ours.environment.dr
        self._before = take_snapshot(site.place, ours.environment.services)
        self._held = facts_of(site.place), objects_of(site.place.s3, self.bucket)
        with workspace(ours.environment.run, "restore-test", ours.folder.logs) as local:
            work = restore_test_of(self._declared(), local, self._header, ours.folder, ours.journal)
            dr, services = work.connections.recovered, work.connections.services
            if isinstance(dr.site, ExistingSite):
                dr.site.workloads = ManualOperator(site, {service.name: service for service in services})
                entry = entry_of(work.connections.config)
                dr.site.addresses = {name: at for name, at in dr.site.addresses.items() if name != entry}
            work.gateway = self._gateway
            ours.record = work.run()
        return ours.record

    def _declared(self) -> Config:
        """Return our declaration, with the addresses of our DR site and of the other estate's repository."""
        environment, secrets = self.ours.environment, self.other.secrets
        place, offsite = self._mistaken or environment.dr.place, self.other.offsite_s3
        # The gateway has no address before it is started: `_gateway` is asked once it is.
        gateway = place.sql.outside
        dr = ExistingSiteTable(sql=place.sql.outside, s3=place.s3.outside, gateway=gateway, secrets=self._keys)
        repository = ExistingOffsiteTable(s3=offsite.outside, secrets=secrets.root / "offsite", tls=False)
        existing = ExistingTable(targets=self.targets, dr=dr, offsite=repository)
        return environment.config.model_copy(update={"existing": existing})

    def declare_production(self) -> None:
        """Declare the other estate's primary as our DR site, and list it: the worst mistake in a declaration."""
        theirs, root = self.other.primary.place, self.other.secrets.root
        self._mistaken, self._keys = theirs, self.ours.environment.run / "mistaken"
        shutil.copytree(root / "dr", self._keys)
        shutil.copytree(root / "primary", self._keys, dirs_exist_ok=True)
        self.allow(system_facts(theirs.sql).identifier, self.other.template.identity.tag)

    def _look(self) -> Seen:
        world = self.other
        store, place = world.repository.store, world.primary.place
        stored = {
            entry.key: f"{entry.size} {entry.modified} {hashlib.sha256(b''.join(store.get(entry.key))).hexdigest()}"
            for entry in store.list("")
        }
        return Seen(stored, facts_of(place), objects_of(place.s3, self.bucket))

    def require_named(self, record: DrillRecord) -> None:
        """The record names what is never done to an existing site."""
        lacking = [line for line in NOT_DRILLED if line not in record.not_drilled]
        require(not lacking, f"not named: {lacking}")

    def require_untouched(self) -> None:
        """The repository, and the estate that wrote it, hold what they held before."""
        found = self._look()
        if self._seen is None:
            raise HarnessError("the other estate was not looked at before the restore test")
        require(found.repository == self._seen.repository, "the repository is not as it was")
        require(found.facts == self._seen.facts, "the other estate's databases are not as they were")
        require(found.objects == self._seen.objects, "the other estate's objects are not as they were")

    def require_unwritten(self) -> None:
        """Our DR site holds what it held, to the row and to the byte, and no backup was selected."""
        self.require_cleared()
        place, events = self.ours.environment.dr.place, self.ours.journal.events
        require(self._held == (facts_of(place), objects_of(place.s3, self.bucket)), "the DR site was written to")
        begun = [event.kind for event in events if event.kind in ("selected", "cleared")]
        require(not begun, f"refused, but the journal says: {', '.join(begun)}")

    def require_cleared(self) -> None:
        """Our DR site holds what it held before, and no service of it runs."""
        world = self.ours.environment
        require(self._before == take_snapshot(world.dr.place, world.services), "something is left on the DR site")
        alive = [name for name, node in world.dr.nodes.items() if node.alive and name not in INFRASTRUCTURE]
        require(not alive, f"still running: {', '.join(alive)}")


def facts_of(place: Place) -> Mapping[str, Facts]:
    """Return what every database holds, but for the moment at which it was looked at."""
    found: dict[str, Facts] = {}
    for name in databases(place.sql):
        with dump.open_snapshot(place.sql, name) as snapshot:
            seen = dump.facts(snapshot)
            found[name] = (seen.owner, seen.tables, seen.sequences)
    return found


def objects_of(s3: S3, bucket: str) -> frozenset[str]:
    """Return every object of a bucket with its digest."""
    return frozenset(f"{e.object_name} {e.etag}" for e in client(s3).list_objects(bucket, recursive=True))
