"""What stands already: production's primary to back up, its offsite repository, a DR site to rehearse on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.alerts.alerts import Alerts
from harness.core.clock import wait_until
from harness.core.errors import HarnessError, Refused, UsageError
from harness.core.journal import Journal
from harness.core.node import NodeSpec, Ready
from harness.core.service import S3, Service, Sql
from harness.estate.backup import BackupOrchestrator
from harness.estate.config import Config
from harness.estate.interlock import Interlock, Production
from harness.estate.registry import build_services, sinks_of
from harness.estate.secrets import RECIPIENTS
from harness.estate.site import EstateSite, NodeStatus
from harness.estate.standing import ClusterTable, ExistingOffsiteTable, ExistingSiteTable, ExistingTable
from harness.postgres.identity import system_facts
from harness.postgres.server import SUPERUSER, SUPERUSER_PASSWORD
from harness.repository.catalogue import Repository
from harness.repository.objects import ObjectStore, StoredObject
from harness.repository.store import S3Store
from harness.s3.client import read_tag
from harness.s3.server import ACCESS, SECRET
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.existing.site import PATIENCE, ExistingSite
from harness.substrate.existing.workloads import ByHand, Workloads
from harness.vault import read_text_secret

if TYPE_CHECKING:
    from harness.kubernetes.api import Api

DATABASE, STORE, GATEWAY = "postgres", "objects", "gateway"
ANSWERS = 60.0  # seconds in which a server that accepts connections must answer a query


@dataclass(slots=True)
class ExistingEstate(EstateSite):
    """A site of the estate that stands already; its services are started by name, whatever they are made of."""

    def start_database(self) -> NodeStatus:
        """Have the database server up and answering; return its status. Raises HarnessError."""
        node = self.site.launch(NodeSpec(DATABASE, (), ports=("sql",), ready=Ready(port="sql")))
        self.nodes[DATABASE] = node
        sql = self.place.sql
        wait_until(
            lambda: system_facts(sql), patience=ANSWERS, on=HarnessError, every=0.5, what=f"the database of {self.name}"
        )
        return NodeStatus(DATABASE, ready=True, detail=str(sql.outside))

    def start_store(self) -> NodeStatus:
        """Have the object store up; return its status. Raises HarnessError."""
        self.nodes[STORE] = self.site.launch(NodeSpec(STORE, (), ports=("s3",), ready=Ready(port="s3")))
        return NodeStatus(STORE, ready=True, detail=str(self.place.s3.outside))

    def start_service(self, service: Service) -> NodeStatus:
        """Have one service up; return its status. Raises HarnessError."""
        ready = Ready(port="http", patience=PATIENCE)
        self.nodes[service.name] = self.site.launch(NodeSpec(service.name, (), ports=("http",), ready=ready))
        return NodeStatus(service.name, ready=True, detail="")

    def destroy(self) -> None:
        """Refuse. Raises Refused."""
        self.site.destroy()

    @property
    def name(self) -> str:
        """The site's name."""
        return self.site.name


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """A store that belongs to somebody else: it is read, and every change of it is refused before it is sent."""

    store: ObjectStore
    what: str

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Refuse."""
        raise self._refused(key)

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes. Raises Unreadable, HarnessError."""
        return self.store.get(key, offset, length)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below `prefix`. Raises HarnessError."""
        return self.store.list(prefix)

    def delete(self, key: str) -> None:
        """Refuse."""
        raise self._refused(key)

    def abandon(self, prefix: str) -> int:
        """Refuse."""
        raise self._refused(prefix)

    def _refused(self, key: str) -> Refused:
        return Refused(f"{self.what}: read-only here; {key} is not touched")


def declared(config: Config) -> ExistingTable:
    """Return what the declaration says of what stands already; raises UsageError when it says nothing."""
    if config.existing is None:
        raise UsageError(f"estate {config.estate.name}: nothing is declared under [existing]; see deploy/README.md")
    return config.existing


def references(folder: Path, *needed: str) -> Mapping[str, str]:
    """Return a reference to each secret in a folder; raises UsageError for a folder or a needed one that is not there.

    A mounted Secret has folders of its own in there, whose names begin with a dot.
    """
    try:
        found = {p.name: f"file:{p}" for p in sorted(folder.iterdir()) if not p.name.startswith(".") and p.is_file()}
    except OSError as error:
        raise UsageError(f"{folder}: no secrets there ({error.strerror}); put or mount them there") from None
    if lacking := [name for name in needed if name not in found]:
        raise UsageError(f"{folder}/{lacking[0]}: not there; add that secret")
    return found


def existing_estate(
    name: str, table: ExistingSiteTable, desk: Embedded, sinks: Mapping[str, str], *needed: str
) -> ExistingEstate:
    """Return a site that stands, as it is declared. `needed`: further secrets it must have. Raises UsageError."""
    secrets = references(table.secrets, SUPERUSER_PASSWORD, ACCESS, SECRET, *needed)
    addresses = {DATABASE: {"sql": table.sql}, STORE: {"s3": table.s3}}
    services = {**table.services, **({GATEWAY: table.gateway} if table.gateway is not None else {})}
    addresses |= {service: {"http": address} for service, address in services.items()}
    site = ExistingSite(name, desk.site(name), addresses, table.volumes, workloads_of(table.cluster))
    sql = Sql(table.sql, table.sql, SUPERUSER, secrets[SUPERUSER_PASSWORD])
    s3 = S3(table.s3, table.s3, secrets[ACCESS], secrets[SECRET])
    return ExistingEstate(site, secrets, sinks, sql=sql, s3=s3)


def workloads_of(table: ClusterTable | None) -> Workloads:
    """Return what starts and ends the nodes of a site: nothing, where it stands in no cluster."""
    if table is None:
        return ByHand()
    # The client of clusters takes a second to import: who needs none does without.
    from harness.substrate.existing.workloads import Scaled  # noqa: PLC0415

    return Scaled(cluster_api(table), table.workloads)


def cluster_api(table: ClusterTable) -> Api:
    """Return the API of a declared cluster, as the account of this pod where no kubeconfig is named."""
    from harness.kubernetes.api import Api  # noqa: PLC0415

    where = table.context or table.kubeconfig or "this cluster"
    return Api(where, table.namespace, Path(table.kubeconfig) if table.kubeconfig else None, table.context)


def offsite_of(config: Config) -> tuple[ExistingOffsiteTable, Repository]:
    """Return the declared offsite repository, closed to every change where it is read-only. Raises UsageError."""
    table = declared(config).offsite
    if table is None:
        raise UsageError(f"estate {config.estate.name}: no repository is declared under [existing.offsite]")
    held = references(table.secrets, ACCESS, SECRET)
    keys = (read_text_secret(held[ACCESS]), read_text_secret(held[SECRET]))
    store: ObjectStore = S3Store.connect(
        table.s3.host, table.s3.port, *keys, table.bucket, secure=table.tls, region=table.region
    )
    if table.read_only:
        store = ReadOnly(store, f"repository of {config.estate.name} at {table.s3}")
    return table, Repository(store, config.estate.name)


def backups_of(config: Config, desk: Embedded, journal: Journal) -> BackupOrchestrator:
    """Return the Backup Orchestrator of a primary that stands, into the declared repository. Raises UsageError."""
    table = declared(config).primary
    offsite, repository = offsite_of(config)
    if table is None:
        raise UsageError(f"estate {config.estate.name}: no site is declared under [existing.primary]")
    if offsite.read_only:
        raise UsageError("existing.offsite.read_only: a backup has to be written; set it to false where one is taken")
    services = build_services(config)
    needed = {name for service in services for name in service.sources().fingerprints}
    primary = existing_estate("primary", table, desk, {}, *RECIPIENTS, *sorted(needed))
    return BackupOrchestrator(
        config.estate.name,
        primary,
        services,
        repository,
        lambda: tuple(read_text_secret(primary.secrets[name]) for name in RECIPIENTS),
        Alerts(config.backup.alerts),
        journal,
    )


def dr_of(config: Config, desk: Embedded) -> ExistingEstate:
    """Return the declared DR site. Raises UsageError."""
    table = declared(config).dr
    if table is None:
        raise UsageError(f"estate {config.estate.name}: no site is declared under [existing.dr]")
    if table.gateway is None:
        raise UsageError("existing.dr.gateway: not declared; the key functions are tested there")
    return existing_estate("dr", table, desk, sinks_of(config), "recipient.pem")


def interlock_of(config: Config, dr: ExistingEstate, repository: Repository) -> Interlock:
    """Return the interlock of the declared DR site. Raises UsageError."""
    existing, place = declared(config), dr.place
    site = existing.dr
    cluster = site.cluster if site is not None else None
    workloads = dr.site.workloads if isinstance(dr.site, ExistingSite) else ByHand()
    return Interlock(
        site=dr.name,
        targets=existing.targets,
        sql=place.sql,
        s3=place.s3,
        cluster=None if cluster is None else cluster_api(cluster).identity,
        asleep=lambda node: workloads.replicas(node) == 0,
        production=lambda: production_of(config, repository),
    )


def production_of(config: Config, repository: Repository) -> Production:
    """Return what production is known by: the systems its backups are of, and its primary where one is declared.

    Raises HarnessError when any of it cannot be read, but for the manifest of a damaged backup: the drill is to show
    that it is passed over. A system that only such a backup names has taken over, and is in use (`in_use`).
    """
    systems = {b.manifest.contents.system.identifier for b in repository.committed() if b.damaged is None}
    table = declared(config).primary
    if table is None:
        return Production(frozenset(systems))
    held = references(table.secrets, SUPERUSER_PASSWORD, ACCESS, SECRET)
    systems.add(system_facts(Sql(table.sql, table.sql, SUPERUSER, held[SUPERUSER_PASSWORD])).identifier)
    s3 = S3(table.s3, table.s3, held[ACCESS], held[SECRET])
    buckets = sorted({o.bucket for service in build_services(config) for o in service.sources().objects})
    tags = {tag for bucket in buckets if (tag := read_tag(s3, bucket))}
    clusters = {cluster_api(table.cluster).identity()} if table.cluster else set[str]()
    return Production(frozenset(systems), frozenset(tags), frozenset(clusters))
