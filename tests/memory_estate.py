"""An estate in memory with one service, for tests of backup, recovery, restore test and drill that take milliseconds.

Its sites are fake, its servers are those of `tests.memory_servers`, its repository is in memory. The code under test is
real from the sites to the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from harness.alerts.alerts import Alerts
from harness.backup.build import orchestrator_of
from harness.backup.orchestrator import BackupOrchestrator
from harness.core.errors import Finding
from harness.core.journal import Journal, MemoryJournal
from harness.core.node import Address, NodeSpec
from harness.core.service import (
    Answer,
    Contained,
    Containment,
    KeyFunction,
    Objects,
    Place,
    PublicDoor,
    Sources,
    Tree,
)
from harness.declaration import ClientLoad, ServiceKind
from harness.estate.config import Config
from harness.estate.connections import Connections, Offsite
from harness.estate.kinds import KINDS
from harness.estate.secrets import Secrets, make_secrets
from harness.estate.site import EstateSite
from harness.patience import PATIENCE
from harness.postgres.checks import column
from harness.recovery.build import recovery_of
from harness.recovery.recovery import Recovery
from harness.recovery.traffic_switch import RoutingStatus
from harness.repository.catalogue import Receipt, Repository
from harness.repository.store.port import ObjectStore
from harness.repository.witness import MemoryWitness
from tests.memory_servers import MemoryDatabase, MemoryServers, servers_of
from tests.repository.memory_store import MemoryStore
from tests.substrate.fake import Call, Fake, Outcome, Program

NAME, ROLE, BUCKET, TAG, KEY = "shop", "shop_role", "receipts", "example-shop", "shop-key"
FILES, KEYS, WRITES = "SELECT path FROM files", "SELECT key FROM receipts", "SELECT number FROM writes"
GREETING = b"this is the shop"
NOBODY = Address("127.0.0.1", 9)


@dataclass
class Shop:
    """A service with a database, a folder of files, a bucket, a secret of which a backup holds the fingerprint.

    `fails`: name of a call -> the error that it raises. `calls`: what was called.
    """

    fails: dict[str, BaseException] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    key_error: BaseException | None = None
    name: str = NAME
    needs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # what a release says

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if what in self.fails:
            raise self.fails[what]

    def nodes(self, _place: Place) -> Sequence[NodeSpec]:
        self._called("nodes")
        return (NodeSpec(self.name, ("shop",), image="shop", ports=("http",)),)

    def sources(self) -> Sources:
        self._called("sources")
        tree = Tree("shop-files", "shop", "files", NAME, FILES)
        return Sources((NAME,), (tree,), (KEY,), (Objects(BUCKET, NAME, KEYS),))

    def key_functions(self, _secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        def check(door: PublicDoor) -> str:
            if self.key_error is not None:
                raise self.key_error
            if not (answer := door.request("GET", "/")).body:
                raise Finding(f"answered {answer.status}")
            return "greeted"

        return (KeyFunction("the shop answers", self.name, "2.8.1", check),)

    def contain(self, _place: Place, containment: Containment) -> Contained:
        self._called("contain")
        return Contained(self.name, (f"mail off, {containment}",))

    def release(self, _place: Place, _contained: Contained) -> Sequence[str]:
        self._called("release")
        return self.missing


@dataclass
class MemoryEdge:
    """Front door, name service and client in one: leads to the shop of one site. `fails`, `reads`: how a switch
    and the reading of its writes end."""

    servers: MemoryServers
    leads_to: str = "primary"
    fails: Exception | None = None
    reads: Exception | None = None

    @property
    def door(self) -> MemoryEdge:
        return self

    def switch(self, site: str, _upstream: Address, address: str) -> RoutingStatus:
        if self.fails is not None:
            raise self.fails
        self.leads_to = site
        return RoutingStatus(site, address)

    def request(self, method: str, path: str, **_more: object) -> Answer:
        """Ask the shop: a POST writes its path as a number. Raises ConnectionError when the shop is not up."""
        nodes = {node.spec.name: node for node in self.servers.fake.site(self.leads_to).nodes}
        if NAME not in nodes:
            raise ConnectionRefusedError("nothing listens there")
        nodes[NAME].ask()
        if method == "POST":
            self.rows.append(path)
        return Answer(200, GREETING, {"x-site": self.leads_to})

    @property
    def rows(self) -> list[str]:
        if self.reads is not None:
            raise self.reads
        return self.servers.postgres[self.leads_to].databases[NAME].tables["writes"]


LOAD = ClientLoad(
    sender=lambda door, _secrets: lambda number: door.request("POST", str(number)).status == 200,
    survivors=lambda door, _secrets: frozenset(map(int, door.rows)),  # type: ignore[attr-defined]
    restored=lambda sql: frozenset(map(int, column(sql, NAME, WRITES))),
)
KIND = ServiceKind(name=NAME, build=lambda *_words: Shop(), entry=True, load=LOAD)


def shop_database() -> MemoryDatabase:
    tables = {"files": ["a.txt", "b.txt"], "receipts": ["r1"], "writes": []}
    answers: dict[str, list[str] | str] = {FILES: "TABLE files", KEYS: "TABLE receipts", WRITES: "TABLE writes"}
    return MemoryDatabase(ROLE, tables, {"public.orders_id_seq": 7}, answers)


@dataclass
class MemoryEstate:
    """The parts of one estate: a primary with data, a DR site without, and what both are reached with."""

    folder: Path
    fake: Fake
    servers: MemoryServers
    secrets: Secrets
    shop: Shop = field(default_factory=Shop)
    store: ObjectStore = field(default_factory=MemoryStore)
    journal: Journal = field(default_factory=MemoryJournal)
    alerts: Alerts = field(default_factory=lambda: Alerts(()))
    sites: dict[str, EstateSite] = field(default_factory=dict)
    witness: MemoryWitness = field(default_factory=MemoryWitness)
    edge: MemoryEdge = field(init=False)

    def __post_init__(self) -> None:
        self.edge = MemoryEdge(self.servers)

    def site(self, name: str) -> EstateSite:
        if name not in self.sites:
            self.sites[name] = EstateSite(self.fake.site(name), self.secrets.of(name), {})
        return self.sites[name]

    def secrets_of_primary(self) -> dict[str, str]:
        """Return the references of the primary, which the test may change."""
        site = self.site("primary")
        site.secrets = dict(site.secrets)
        return site.secrets

    @property
    def config(self) -> Config:
        sites = {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}}
        estate = {"name": TAG, "zone": "shop.test"}
        return Config.model_validate({"estate": estate, "sites": sites, "services": {NAME: {"kind": NAME}}})

    @property
    def connections(self) -> Connections:
        return Connections(
            self.config,
            (self.shop,),
            Offsite(NOBODY, self.secrets.of("offsite")),
            primary=self.site("primary"),
            dr=self.site("dr"),
            recipients=self.secrets.recipients,
        )

    @property
    def repository(self) -> Repository:
        return Repository(self.store, TAG, trust=self.connections.trust, witnesses=(self.witness,))

    @property
    def orchestrator(self) -> BackupOrchestrator:
        return orchestrator_of(self.connections, self.alerts, self.journal)

    def recovery(self, **more: object) -> Recovery:
        return recovery_of(self.connections, self.edge, self.journal, "disposable", **more)  # type: ignore[arg-type]

    def start_primary(self) -> None:
        """Start the primary's servers with example data, and its shop."""
        site = self.site("primary")
        site.activate()
        data = self.servers.postgres["primary"]
        data.databases[NAME] = shop_database()
        data.roles.add(ROLE)
        objects = self.servers.objects["primary"]
        objects.buckets[BUCKET] = {"r1": (b"a receipt", {})}
        files = self.fake.site("primary").volume("shop").files
        files |= {"files/a.txt": b"one", "files/b.txt": b"two"}
        site.start_service(self.shop)

    def backed_up(self) -> Receipt:
        """Take a backup of the primary, and destroy it; return the receipt."""
        self.start_primary()
        receipt = self.orchestrator.back_up()
        self.site("primary").destroy()
        return receipt

    def answers(self, address: Address) -> bool:
        """Return whether a node of the primary answers at an address."""
        nodes = self.fake.site("primary").nodes
        found = [node for node in nodes if address in (endpoint.outside for endpoint in node.endpoints.values())]
        return any(node.reached for node in found)

    def messages(self) -> list[str]:
        return [event.message for event in self.journal.events if event.message]

    def errors(self, message: str) -> list[str]:
        """Return the errors that were journalled with a message."""
        return [str(event.facts.get("error")) for event in self.journal.events if event.message == message]


def connects(servers: MemoryServers) -> Program:
    """Return the program of the shop: it connects to its site's database server when it starts."""

    def program(call: Call) -> Outcome:
        assert call.site is not None
        servers.postgres[call.site.name].sessions.add((NAME, ROLE))
        return Outcome()

    return program


@pytest.fixture
def memory_estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryEstate:
    fake = Fake(runs_images=True)
    servers = servers_of(fake, "primary", "dr")
    fake.programs = {**fake.programs, NAME: connects(servers)}
    secrets = make_secrets(tmp_path / "secrets", ())
    for holder in ("primary", "dr"):
        secrets.put(holder, KEY, b"the same on both sites")
    made = MemoryEstate(tmp_path, fake, servers, secrets)
    monkeypatch.setitem(cast("dict[str, ServiceKind]", KINDS), NAME, KIND)
    monkeypatch.setattr("harness.postgres.session.psycopg.connect", servers.connect)
    monkeypatch.setattr("harness.s3.client.Minio", servers.minio)
    monkeypatch.setattr("harness.estate.connections.S3Store.connect", lambda *_words, **_more: made.store)
    monkeypatch.setattr("harness.recovery.key_functions.SPREAD", 0.0)  # seconds
    monkeypatch.setattr(PATIENCE, "service_connected", 0.05)
    return made
