"""Restore tests from the repository of another estate, on a new DR site or on an existing one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.contents import SequenceFacts, TableFacts
from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.core.node import Address
from harness.core.record import DrillRecord
from harness.core.service import S3, Place, Service
from harness.drill.drill import Drill
from harness.drill.environment import DrillEnvironment
from harness.estate.config import Config
from harness.estate.connections import Connections, Offsite
from harness.estate.existing import new_run, workspace
from harness.estate.existing_config import ExistingOffsiteTable, ExistingSiteTable, ExistingTable
from harness.estate.registry import entry_of
from harness.estate.server_tables import RepositoryTable, S3Table, SqlTable
from harness.estate.site import INFRASTRUCTURE, EstateSite
from harness.estate.state_file import WITNESS
from harness.evidence.record import RecordHeader
from harness.postgres import dump
from harness.postgres.identity import databases, system_facts
from harness.restore_test.build import restore_test_of
from harness.restore_test.cleanup import Snapshot, take_snapshot
from harness.restore_test.restore_test import RestoreTest
from harness.restore_test.targets import PUBLIC, SIGNED, signature_of
from harness.s3.client import client, ensure_bucket, tag
from harness.scenario.checks.verdict import require
from harness.signing import new_signing_pair, read_signing_key, sign
from harness.substrate.existing.site import NOT_DRILLED, ExistingSite

TAG = "a drill target"


@dataclass(frozen=True, slots=True)
class ManualOperator:
    """Starts and stops the services of an existing site, as its operators do."""

    site: EstateSite
    services: Mapping[str, Service]

    def replicas(self, node: str) -> int | None:
        """Return 1 while the service runs, else 0; None for infrastructure, which is always up."""
        if node not in self.services:
            return None
        return int(node in self.site.nodes and self.site.nodes[node].alive)

    def scale(self, node: str, replicas: int, patience: float) -> None:
        """Start or stop the service; raises HarnessError."""
        if replicas:
            self.site.start_service(self.services[node])
        else:
            self.site.nodes[node].kill()


Facts = tuple[str, tuple[TableFacts, ...], tuple[SequenceFacts, ...]]  # owner, tables, sequences


@dataclass(frozen=True, slots=True)
class RepositorySnapshot:
    """Contents of a repository and of its estate: digests by object, facts by database, objects."""

    repository: Mapping[str, str]
    facts: Mapping[str, Facts]
    objects: frozenset[str]


class ForeignRepository:
    """The repository of another estate, which runs embedded, and the drill on whose DR site it is restored."""

    def __init__(self, drill: Drill) -> None:
        made = drill.environment
        run = made.run.with_name(f"{made.run.name}-other")
        self.drill = drill
        self.other = DrillEnvironment(made.config, made.template, run, made.logs / "other", MemoryJournal())
        self._production: Place | None = None
        self._keys = self.other.secrets.root / "dr"
        self._signer = new_signing_pair()
        self._before_test: RepositorySnapshot | None = None
        self._before: Snapshot | None = None
        self._contents: tuple[Mapping[str, Facts], frozenset[str]] | None = None

    def write(self) -> ForeignRepository:
        """Take a backup of the other estate and record its contents; return this object. Raises BackupFailed."""
        self.other.start_data()
        self.other.backups.back_up()
        self._before_test = self._observe()
        return self

    def close(self) -> None:
        """Remove the other estate."""
        self.other.close()

    def take_snapshots(self) -> None:
        """Record the contents of the repository and the other estate, for the comparison after the test."""
        self._before_test = self._observe()

    def prepare_existing_site(self) -> None:
        """Start the DR site's database and store, pin a key, add the site to the allowlist; raises HarnessError."""
        self.targets_key.write_bytes(self._signer[1])
        site = self._dr()
        site.activate()
        ensure_bucket(site.place.s3, self.bucket)
        tag(site.place.s3, self.bucket, TAG)
        self.allow(system_facts(site.place.sql).identifier, TAG)

    def _dr(self) -> EstateSite:
        """Return the DR site of the drill with the DR secrets of the other estate, which open its backups."""
        site = self.drill.environment.dr
        site.secrets = self.other.secrets.of("dr")
        return site

    @property
    def bucket(self) -> str:
        """Name of the bucket whose tag names the estate."""
        return self.other.template.identity.bucket

    @property
    def targets(self) -> Path:
        """Path of the allowlist of drill targets."""
        return self.drill.environment.run / "drill-targets.toml"

    @property
    def targets_key(self) -> Path:
        """Path of the pinned key, whose private half signs the allowlist."""
        return self.targets.with_name(PUBLIC)

    def allow(self, system: str, tagged: str, until: str = "2999-12-31") -> None:
        """Write an allowlist of drill targets with one entry, and sign it."""
        self.sign(
            f'[[target]]\nname = "dr"\nsystem = "{system}"\nbucket = "{self.bucket}"\ntag = "{tagged}"\n'
            f"until = {until}\n"
        )

    def sign(self, text: str) -> None:
        """Write a text as the allowlist of drill targets, and sign it, whatever it is."""
        self.targets.write_text(text, encoding="utf-8")
        signature_of(self.targets).write_bytes(sign(SIGNED, text.encode(), (read_signing_key(self._signer[0]),)))

    def replace_signer(self) -> None:
        """Sign the allowlist with another key than the pinned one."""
        self._signer = new_signing_pair()
        self.sign(self.targets.read_text(encoding="utf-8"))

    def run_on_new_site(self) -> DrillRecord:
        """Run a restore test on a new DR site; return the record."""
        drill, other, site = self.drill, self.other, self._dr()
        config = drill.environment.config
        work = RestoreTest(
            header=self._header,
            connections=Connections(
                config,
                drill.environment.services,
                Offsite(other.offsite_s3.outside, other.secrets.of("offsite"), read_only=True, short=True),
                dr=site,
                client_secrets=other.secrets.of("clients"),
                witness=other.run / WITNESS,
            ),
            gateway=self._gateway,
            folder=drill.folder,
            journal=drill.journal,
            containment="disposable",
        )
        drill.record = work.run()
        self._before = work.before
        return drill.record

    @property
    def record(self) -> DrillRecord:
        """The record of the restore test; raises HarnessError before one was run."""
        if self.drill.record is None:
            raise HarnessError("no restore test was run; add that When step")
        return self.drill.record

    @property
    def _header(self) -> RecordHeader:
        return replace(self.drill.header, mode="restore test")

    def _gateway(self) -> Address:
        config = self.drill.environment.config
        return self.drill.environment.dr.nodes[entry_of(config)].endpoint("http").outside

    def run_on_existing_site(self) -> DrillRecord:
        """Run a restore test on the existing DR site as `blackstart restore-test` does; return the record."""
        drill, site = self.drill, self.drill.environment.dr
        self._before = take_snapshot(site.place, drill.environment.services)
        self._contents = facts_of(site.place), objects_of(site.place.s3, self.bucket)
        with workspace(new_run(drill.environment.run, "restore-test"), drill.folder.logs) as local:
            work = restore_test_of(self._declared(), local, self._header, drill.folder, drill.journal)
            dr, services = work.connections.recovered, work.connections.services
            if isinstance(dr.site, ExistingSite):
                dr.site.workloads = ManualOperator(site, {service.name: service for service in services})
                entry = entry_of(work.connections.config)
                dr.site.addresses = {name: at for name, at in dr.site.addresses.items() if name != entry}
            work.gateway = self._gateway
            drill.record = work.run()
        return drill.record

    def _declared(self) -> Config:
        """Return the declaration with the addresses of the DR site and of the other estate's repository."""
        environment, secrets = self.drill.environment, self.other.secrets
        place, offsite = self._production or environment.dr.place, self.other.offsite_s3
        # Placeholder: the gateway has no address before its start; `_gateway` returns it then.
        gateway = place.sql.outside
        sql = SqlTable(host=(place.sql.outside.host,), port=place.sql.outside.port)
        s3 = S3Table(endpoint=str(place.s3.outside))
        dr = ExistingSiteTable(sql=sql, s3=s3, gateway=gateway, secrets=self._keys)
        store = RepositoryTable(endpoint=str(offsite.outside))
        witness = self.other.run / WITNESS  # not the one beside the records: each drill has a new repository
        repository = ExistingOffsiteTable(s3=store, secrets=secrets.root / "offsite", tls=False, witness=witness)
        existing = ExistingTable(targets=self.targets, targets_key=self.targets_key, dr=dr, offsite=repository)
        return environment.config.model_copy(update={"existing": existing})

    def declare_production(self) -> None:
        """Declare the other estate's primary as the DR site and add it to the allowlist."""
        production, root = self.other.primary.place, self.other.secrets.root
        self._production, self._keys = production, self.drill.environment.run / "production-keys"
        shutil.copytree(root / "dr", self._keys)
        shutil.copytree(root / "primary", self._keys, dirs_exist_ok=True)
        self.allow(system_facts(production.sql).identifier, self.other.template.identity.tag)

    def _observe(self) -> RepositorySnapshot:
        environment = self.other
        store, place = environment.repository.store, environment.primary.place
        stored = {
            entry.key: f"{entry.size} {entry.modified} {hashlib.sha256(b''.join(store.get(entry.key))).hexdigest()}"
            for entry in store.list("")
        }
        return RepositorySnapshot(stored, facts_of(place), objects_of(place.s3, self.bucket))

    def require_named(self, record: DrillRecord) -> None:
        """Raise Finding unless the record lists what is never done to an existing site."""
        lacking = [line for line in NOT_DRILLED if line not in record.not_drilled]
        require(not lacking, f"not named: {lacking}")

    def require_untouched(self) -> None:
        """Raise Finding when the repository or the other estate has changed."""
        found = self._observe()
        if self._before_test is None:
            raise HarnessError("the other estate was not observed before the restore test")
        require(found.repository == self._before_test.repository, "the repository was changed")
        require(found.facts == self._before_test.facts, "the other estate's databases were changed")
        require(found.objects == self._before_test.objects, "the other estate's objects were changed")

    def require_unwritten(self) -> None:
        """Raise Finding when rows or objects of the DR site were changed or a backup was selected."""
        self.require_cleared()
        place, events = self.drill.environment.dr.place, self.drill.journal.events
        require(self._contents == (facts_of(place), objects_of(place.s3, self.bucket)), "the DR site was written to")
        begun = [event.kind for event in events if event.kind in ("selected", "cleared")]
        require(not begun, f"refused, but the journal says: {', '.join(begun)}")

    def require_cleared(self) -> None:
        """Raise Finding unless the DR site has its earlier inventory and none of its services runs."""
        made = self.drill.environment
        require(self._before == take_snapshot(made.dr.place, made.services), "the DR site was not cleaned up")
        alive = [name for name, node in made.dr.nodes.items() if node.alive and name not in INFRASTRUCTURE]
        require(not alive, f"still running: {', '.join(alive)}")


def facts_of(place: Place) -> Mapping[str, Facts]:
    """Return the facts of every database, without the snapshot time; raises BackupFailed."""
    found: dict[str, Facts] = {}
    for name in databases(place.sql):
        with dump.open_snapshot(place.sql, name) as snapshot:
            seen = dump.facts(snapshot, f"databases/{name}")
            found[name] = (seen.owner, seen.tables, seen.sequences)
    return found


def objects_of(s3: S3, bucket: str) -> frozenset[str]:
    """Return the name and digest of every object in a bucket."""
    return frozenset(f"{e.object_name} {e.etag}" for e in client(s3).list_objects(bucket, recursive=True))
