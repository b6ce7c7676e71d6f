"""A restore drill from a repository that another estate wrote: on a DR site made for it, or on one that stands."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.core.contents import TableFacts
from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.core.judge import Verdict
from harness.core.record import DrillRecord
from harness.core.service import S3, Place, Service
from harness.drill.drill import Drill
from harness.drill.environment import World
from harness.estate.config import Config
from harness.estate.existing_config import ExistingOffsiteTable, ExistingSiteTable, ExistingTable
from harness.estate.registry import start_messages
from harness.estate.site import EstateSite
from harness.postgres import dump
from harness.postgres.identity import databases, system_facts
from harness.postgres.server import connect
from harness.repository.catalogue import Receipt, Repository
from harness.repository.store.read_only import ReadOnly
from harness.restore_test.build import rehearsal_of
from harness.restore_test.cleanup import Footprint, footprint
from harness.restore_test.restore_test import Rehearsal
from harness.s3.client import client, ensure_bucket, tag
from harness.scenario.checks import verdict as judged
from harness.scenario.faults.stored_backup import DAMAGE
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.existing.site import NOT_DRILLED, ExistingSite

BUCKET, TAG = "notifications", "a drill target"
OTHER_SYSTEM = "1234567890123456789"
# What each refusal says, by the word that the features use for it.
SAID = {
    "the list": "list of drill targets",
    "the database system": "its database system is",
    "the bucket tag": "its bucket tag is no tag",
    "production": "is production's, and never a drill target",
    "the use": "site dr is in use: it holds the database of_clients",
}


@dataclass(frozen=True, slots=True)
class Hands:
    """Who starts and ends the services of a site that stands already: its operators, by what it is made of."""

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


class Borrowed:
    """The estate that wrote the repository, and the one of ours whose DR site it is restored on.

    The other one is made of processes of this machine, whatever ours is made of: a repository tells neither.
    """

    def __init__(self, ours: Drill) -> None:
        world = ours.world
        run = world.run.with_name(f"{world.run.name}-other")
        self.ours, self.other = ours, World(world.config, world.template, run, world.logs / "other", MemoryJournal())
        self._mistaken: Place | None = None
        self._keys = self.other.secrets.root / "dr"
        self._receipt: Receipt | None = None
        self._seen: Seen | None = None
        self._found: Footprint | None = None
        self._held: tuple[Mapping[str, Facts], frozenset[str]] | None = None

    def write(self) -> Borrowed:
        """Have the other estate take a backup; return this, with what it then holds noted."""
        self.other.start_data()
        self._receipt = self.other.backups.back_up()
        self._seen = self._look()
        return self

    def close(self) -> None:
        """Leave nothing of the other estate behind."""
        self.other.close()

    def damage(self) -> None:
        """Flip a bit of the only backup."""
        if self._receipt is None:
            raise HarnessError("the other estate took no backup yet")
        DAMAGE["a flipped bit"](self.other.repository.store, self.other.config.estate.name, self._receipt.backup_id)
        self._seen = self._look()

    def stand(self) -> None:
        """Have the DR site's database and store up, and its identity on the list."""
        site = self._dr()
        site.activate()
        ensure_bucket(site.place.s3, BUCKET)
        tag(site.place.s3, BUCKET, TAG)
        self._list(system_facts(site.place.sql).identifier, TAG)

    def _dr(self) -> EstateSite:
        """Return our DR site, which holds the other estate's DR secrets: without them nothing can be opened."""
        site = self.ours.world.dr
        site.secrets = self.other.secrets.of("dr")
        return site

    @property
    def targets(self) -> Path:
        """The list of drill targets."""
        return self.ours.world.run / "drill-targets.toml"

    def _list(self, system: str, tagged: str) -> None:
        self.targets.write_text(
            f'[[target]]\nname = "dr"\nsystem = "{system}"\nbucket = "{BUCKET}"\ntag = "{tagged}"\n', encoding="utf-8"
        )

    def rehearse_on_ours(self) -> DrillRecord:
        """Rehearse on a DR site that is made for it; return the record."""
        ours, site, secrets = self.ours, self._dr(), self.other.secrets
        repository = self.other.repository
        work = Rehearsal(
            name=ours.name,
            objective=ours.objective,
            estate=ours.world.config.estate.name,
            public_name=ours.world.config.public_name,
            dr=site,
            services=ours.world.services,
            repository=Repository(ReadOnly(repository.store, "the other estate's repository"), repository.estate),
            private_key_ref=secrets.of("dr")["recipient.pem"],
            client_secrets=secrets.of("clients"),
            where=lambda: site.nodes["gateway"].endpoint("http").outside,
            promise=ours.promise,
            folder=ours.folder,
            journal=ours.journal,
            paper=ours.paper,
            mode="rehearsal",
            start_messages=start_messages(ours.world.config),
        )
        record = work.run()
        self._found = work.found
        return record

    def rehearse_there(self) -> DrillRecord:
        """Rehearse on the DR site that stands already, as `blackstart rehearse` does; return the record."""
        ours, site = self.ours, self.ours.world.dr
        self._found = footprint(site.place, ours.world.services)
        self._held = facts_of(site.place), objects_of(site.place.s3)
        desk = Embedded(ours.world.run / "desk", ours.folder.logs)
        try:
            work = rehearsal_of(self._declared(), desk, ours.promise, ours.folder, ours.journal, ours.paper)
            if isinstance(work.dr.site, ExistingSite):
                work.dr.site.workloads = Hands(site, {service.name: service for service in work.services})
                work.dr.site.addresses = {n: a for n, a in work.dr.site.addresses.items() if n != "gateway"}
            work.where = lambda: site.nodes["gateway"].endpoint("http").outside
            work.name, work.objective = self.ours.name, self.ours.objective
            return work.run()
        finally:
            desk.sweep()

    def _declared(self) -> Config:
        """Return our declaration, with the addresses at which our DR site and the other's repository stand."""
        world, secrets = self.ours.world, self.other.secrets
        place, offsite = self._mistaken or world.dr.place, self.other.offsite_s3
        # The gateway has no address before it is started: the drill is told where it is once it is.
        gateway = place.sql.outside
        dr = ExistingSiteTable(sql=place.sql.outside, s3=place.s3.outside, gateway=gateway, secrets=self._keys)
        repository = ExistingOffsiteTable(s3=offsite.outside, secrets=secrets.root / "offsite", tls=False)
        existing = ExistingTable(targets=self.targets, dr=dr, offsite=repository)
        return world.config.model_copy(update={"existing": existing})

    def rehearse_although(self, doubt: str) -> DrillRecord:
        """Rehearse on the DR site that stands already, with what `doubt` names done to it or to its list."""
        place = self.ours.world.dr.place
        own = system_facts(place.sql).identifier
        doubts: dict[str, Callable[[], object]] = {
            "the list of drill targets is missing": self.targets.unlink,
            "the list of drill targets is unreadable": lambda: self.targets.write_text("[[target", encoding="utf-8"),
            "its database is of another system": lambda: self._list(OTHER_SYSTEM, TAG),
            "its store carries no tag": lambda: untag(place.s3),
            "production itself is declared and listed": self._declare_production,
            "it holds a database, as one in use does": lambda: _serve_clients(place),
        }
        doubts[doubt]()
        record = self.rehearse_there()
        judged.require(own == system_facts(place.sql).identifier, "the DR site is another one than before")
        return record

    def _declare_production(self) -> None:
        """Take the other estate's primary for our DR site, by mistake, and list it: the worst that can be declared."""
        theirs, root = self.other.primary.place, self.other.secrets.root
        self._mistaken, self._keys = theirs, self.ours.world.run / "mistaken"
        shutil.copytree(root / "dr", self._keys)
        shutil.copytree(root / "primary", self._keys, dirs_exist_ok=True)
        self._list(system_facts(theirs.sql).identifier, self.other.template.identity.tag)

    def _look(self) -> Seen:
        world = self.other
        store, place = world.repository.store, world.primary.place
        stored = {
            entry.key: f"{entry.size} {entry.modified} {hashlib.sha256(b''.join(store.get(entry.key))).hexdigest()}"
            for entry in store.list("")
        }
        return Seen(stored, facts_of(place), objects_of(place.s3))

    def require_verdict(self, record: DrillRecord, verdict: str) -> None:
        """The record says so."""
        judged.require_verdict(record, verdict)

    def require_refused(self, record: DrillRecord, what: str) -> None:
        """It could not be carried out, and its reason names that."""
        found = "; ".join(record.reasons)
        judged.require(record.verdict == Verdict.UNKNOWN, f"judged {record.verdict}: {found}")
        judged.require(SAID[what] in found, f"refused, but {what} is not named: {found}")

    def require_named(self, record: DrillRecord) -> None:
        """What nobody may do to a site that stands is in the record, by name."""
        lacking = [line for line in NOT_DRILLED if line not in record.not_drilled]
        judged.require(not lacking, f"not named: {lacking}")

    def require_untouched(self) -> None:
        """The repository, and the estate that wrote it, hold what they held."""
        found = self._look()
        if self._seen is None:
            raise HarnessError("nothing was noted of the other estate before the rehearsal")
        judged.require(found.repository == self._seen.repository, "the repository is not as it was")
        judged.require(found.facts == self._seen.facts, "the other estate's databases are not as they were")
        judged.require(found.objects == self._seen.objects, "the other estate's objects are not as they were")

    def require_unwritten(self) -> None:
        """Our DR site holds what it held, to the row and to the byte, and no backup was so much as chosen."""
        self.require_cleared()
        place, events = self.ours.world.dr.place, self.ours.journal.events
        judged.require(self._held == (facts_of(place), objects_of(place.s3)), "the DR site was written to")
        begun = [event.kind for event in events if event.kind in ("selected", "cleared")]
        judged.require(not begun, f"refused, and yet the journal says: {', '.join(begun)}")

    def require_cleared(self) -> None:
        """Our DR site holds what it held before, and no service of it runs."""
        world = self.ours.world
        judged.require(self._found == footprint(world.dr.place, world.services), "something is left on the DR site")
        alive = [name for name, node in world.dr.nodes.items() if node.alive and name not in ("postgres", "objects")]
        judged.require(not alive, f"still running: {', '.join(alive)}")


def facts_of(place: Place) -> Mapping[str, Facts]:
    """Return what every database holds, but for the moment at which it was looked at."""
    found: dict[str, Facts] = {}
    for name in databases(place.sql):
        with dump.open_snapshot(place.sql, name) as snapshot:
            seen = dump.facts(snapshot)
            found[name] = (seen.owner, seen.tables, seen.sequences)
    return found


def objects_of(s3: S3) -> frozenset[str]:
    """Return every object of a bucket with its digest."""
    return frozenset(f"{e.object_name} {e.etag}" for e in client(s3).list_objects(BUCKET, recursive=True))


def _serve_clients(place: Place) -> None:
    """Have a database there, with a table of theirs."""
    for name, statement in (("postgres", "CREATE DATABASE of_clients"), ("of_clients", "CREATE TABLE orders (n int)")):
        with connect(place.sql, name) as connection:
            connection.execute(statement)


def untag(s3: S3) -> None:
    """Take the tag off the bucket."""
    client(s3).delete_bucket_tags(BUCKET)
