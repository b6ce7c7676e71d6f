"""An estate of real servers for the case tests: two PostgreSQL servers, two object stores, one declared service."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import psycopg

from harness.alerts.alerts import Alerts
from harness.alerts.sink import AlertSink
from harness.backup.build import orchestrator_of
from harness.core.contents import Contents
from harness.core.journal import MemoryJournal
from harness.core.node import Address, NodeSpec, Stoppable
from harness.core.service import KeyFunction, Objects, Place, Sources, Tree
from harness.estate.config import Config
from harness.estate.connections import Connections, Offsite
from harness.estate.secrets import Secrets, make_secrets
from harness.estate.site import DATABASE, STORE, EstateSite
from harness.postgres.server import connect
from harness.recovery.build import recovery_of
from harness.recovery.recovery import Activated, Recovery
from harness.recovery.restore import Restored
from harness.repository.catalogue import OpenBackup, Receipt, Repository
from harness.s3.client import client, ensure_bucket
from harness.substrate.embedded.substrate import Embedded
from harness.vault import read_text_secret
from tests.memory_estate import MemoryEdge
from tests.repository.memory_store import MemoryStore

SITES = ("primary", "dr")
NAME = "case"


@dataclass
class CaseService:
    """A service that a test declares; it has no programs."""

    name: str = "app"
    needs: tuple[str, ...] = ()
    declared: Sources = field(default_factory=Sources)

    def nodes(self, _place: Place) -> Sequence[NodeSpec]:
        return ()

    def sources(self) -> Sources:
        return self.declared

    def key_functions(self, _secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        return ()


@dataclass
class CaseEstate:
    """The estate. The database servers are new in every test; the object stores are emptied before it."""

    substrate: Embedded
    secrets: Secrets
    primary: EstateSite
    dr: EstateSite
    sink: AlertSink
    service: CaseService = field(default_factory=CaseService)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    store: MemoryStore = field(default_factory=MemoryStore)
    backup: dict[str, object] = field(default_factory=dict)  # the table [backup]
    allowed: list[str] = field(default_factory=list)  # the names in [restore.allow]
    left_out: list[str] = field(default_factory=list)  # those in [restore.exclude]

    def declare(
        self,
        *databases: str,
        trees: Sequence[Tree] = (),
        objects: Sequence[Objects] = (),
        volumes: Sequence[str] = (),
        disposable: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Declare what the service has."""
        self.service.declared = Sources(databases, tuple(trees), (), tuple(objects), tuple(volumes), tuple(disposable))

    def site(self, name: str) -> EstateSite:
        return self.primary if name == "primary" else self.dr

    def create(self, database: str, *statements: str, site: str = "primary") -> None:
        """Create a database on a site, and run statements in it."""
        with connect(self.site(site).place.sql) as connection:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
        self.run(database, *statements, site=site)

    def run(self, database: str, *statements: str, site: str = "primary") -> None:
        with connect(self.site(site).place.sql, database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, database: str, query: str, site: str = "dr") -> list[tuple[object, ...]]:
        """Return the rows of a query, on DR by default."""
        with connect(self.site(site).place.sql, database) as connection:
            return list(connection.execute(query.encode()).fetchall())

    def value(self, database: str, query: str, site: str = "dr") -> object:
        ((value,),) = self.rows(database, query, site)
        return value

    def put_file(self, volume: str, path: str, data: bytes, site: str = "primary") -> None:
        with self.site(site).site.volume(volume).open(path, "wb") as target:
            target.write(data)

    def file(self, volume: str, path: str, site: str = "dr") -> bytes:
        with self.site(site).site.volume(volume).open(path, "rb") as source:
            return source.read()

    def put_object(self, bucket: str, key: str, data: bytes, site: str = "primary", **more: object) -> None:
        s3 = self.site(site).place.s3
        ensure_bucket(s3, bucket)
        client(s3).put_object(bucket, key, BytesIO(data), len(data), **more)  # type: ignore[arg-type]

    def content(self, bucket: str, key: str, site: str = "dr") -> bytes:
        with client(self.site(site).place.s3).get_object(bucket, key) as answer:
            return bytes(answer.read())

    @property
    def config(self) -> Config:
        """The declaration; its service stands for the one that the test declares."""
        sites = {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}}
        tables = {"estate": {"name": NAME, "zone": "case.test"}, "sites": sites, "backup": self.backup}
        names = {"allow": self.allowed, "exclude": self.left_out}
        tables["restore"] = {key: dict.fromkeys(value, "the test says so") for key, value in names.items()}
        return Config.model_validate({**tables, "services": {"gateway": {"kind": "gateway"}}})

    @property
    def connections(self) -> Connections:
        return CaseConnections(
            self.config,
            (self.service,),
            Offsite(Address("127.0.0.1", 9), self.secrets.of("offsite")),
            primary=self.primary,
            dr=self.dr,
            recipients=self.secrets.recipients,
            estate_store=self.store,
        )

    @property
    def repository(self) -> Repository:
        return self.connections.repository

    def back_up(self) -> Receipt:
        """Take a backup of the primary, as the schedule does."""
        self.secrets.put("primary", "alert-url", self.sink.url.encode())
        alerts = Alerts((self.secrets.of("primary")["alert-url"],))
        return orchestrator_of(self.connections, alerts, self.journal).back_up()

    @property
    def newest(self) -> OpenBackup:
        """The newest valid backup, opened."""
        return self.repository.latest_valid(read_text_secret(self.secrets.of("dr")["recipient.pem"])).backup

    @property
    def contents(self) -> Contents:
        """What the newest valid backup says of itself."""
        return self.newest.manifest.contents

    @property
    def recovery(self) -> Recovery:
        """A new recovery onto the DR site."""
        return recovery_of(self.connections, MemoryEdge(None), self.journal, "disposable", run=self.substrate.run)  # type: ignore[arg-type]

    def restore(self) -> Restored:
        """Restore the newest valid backup onto DR, and compare it."""
        recovery = self.recovery
        return recovery.restore(recovery.select(Activated(())))

    def facts(self, message: str) -> list[Mapping[str, object]]:
        """Return the facts of the journal's events with a number of the mission."""
        return [event.facts for event in self.journal.events if event.message == message]


@dataclass(frozen=True)
class CaseConnections(Connections):
    """Connections whose repository is in memory."""

    estate_store: MemoryStore = field(default_factory=MemoryStore)

    @property
    def repository(self) -> Repository:
        return Repository(self.estate_store, NAME, trust=self.trust)


@dataclass(frozen=True)
class CaseServers:
    """What all tests share: secrets, data folders of two fresh servers, and two running object stores."""

    secrets: Secrets
    data: Path
    stores: Mapping[str, EstateSite]


@contextmanager
def case_servers(home: Path) -> Iterator[CaseServers]:
    """Make two database servers for copies, start two object stores; end them afterwards."""
    secrets, data = make_secrets(home / "secrets", ()), home / "data"
    makers, stores = Embedded(home / "make", home / "logs"), Embedded(home / "stores", home / "logs")
    try:
        for name in SITES:
            site = EstateSite(makers.site(name), secrets.of(name), {})
            site.start_database()
            node = site.nodes[DATABASE]
            assert isinstance(node, Stoppable)
            node.stop(30.0)
        shutil.copytree(home / "make" / "sites", data, symlinks=True)
        running = {name: EstateSite(stores.site(name), secrets.of(name), {}) for name in SITES}
        for site in running.values():
            site.start_store()
        yield CaseServers(secrets, data, running)
    finally:
        makers.sweep()
        stores.sweep()


@contextmanager
def case_estate(shared: CaseServers, home: Path) -> Iterator[CaseEstate]:
    """Yield an estate with new database servers; everything it started is ended afterwards."""
    substrate = Embedded(home / "run", home / "logs")
    sites = {name: EstateSite(substrate.site(name), shared.secrets.of(name), {}) for name in SITES}
    try:
        for name, site in sites.items():
            empty(shared.stores[name])
            site.nodes[STORE] = shared.stores[name].nodes[STORE]
            substrate.import_volume(name, "postgres", shared.data / name / "volumes" / "postgres")
            site.start_store()
            site.start_database()
        with AlertSink() as sink:
            yield CaseEstate(substrate, shared.secrets, sites["primary"], sites["dr"], sink)
    finally:
        substrate.sweep()


@contextmanager
def other_server(estate: CaseEstate, name: str, home: Path) -> Iterator[None]:
    """Put a database server that is started now in the place of a site's; it is ended afterwards."""
    substrate = Embedded(home / f"other-{name}", home / f"other-{name}-logs")
    try:
        site = EstateSite(substrate.site(name), estate.secrets.of(name), {})
        site.start_database()
        site.nodes[STORE] = estate.site(name).nodes[STORE]
        site.start_store()
        setattr(estate, name, site)
        yield
    finally:
        substrate.sweep()


def empty(site: EstateSite) -> None:
    """Remove every bucket of a store."""
    if site.s3 is None:
        return
    store = client(site.s3)
    for bucket in store.list_buckets():
        for entry in store.list_objects(bucket.name, recursive=True, include_version=True):
            store.remove_object(bucket.name, str(entry.object_name), version_id=entry.version_id)
        store.remove_bucket(bucket.name)
