"""What stands already: production's primary to back up, its offsite repository, a DR site to rehearse on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, UsageError
from harness.core.node import NodeSpec, Ready
from harness.core.service import S3, Service, Sql
from harness.estate.config import Config
from harness.estate.existing_config import ClusterTable, ExistingOffsiteTable, ExistingSiteTable, ExistingTable
from harness.estate.site import EstateSite, NodeStatus
from harness.patience import PATIENCE
from harness.postgres.identity import system_facts
from harness.postgres.server import SUPERUSER, SUPERUSER_PASSWORD
from harness.repository.catalogue import Repository
from harness.repository.objects import ObjectStore
from harness.repository.store import S3Store
from harness.s3.server import ACCESS, SECRET
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.existing.site import ExistingSite
from harness.substrate.existing.workloads import NoWorkloads, Workloads
from harness.vault import read_text_secret

if TYPE_CHECKING:
    from harness.kubernetes.api import Api
import secrets as random
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.repository.read_only import ReadOnly

if TYPE_CHECKING:
    from harness.kubernetes.api import Api

DATABASE, STORE, GATEWAY = "postgres", "objects", "gateway"


@dataclass(slots=True)
class ExistingEstate(EstateSite):
    """A site of the estate that stands already; its services are started by name, whatever they are made of."""

    def start_database(self) -> NodeStatus:
        """Have the database server up and answering; return its status. Raises HarnessError."""
        node = self.site.launch(NodeSpec(DATABASE, (), ports=("sql",), ready=Ready(port="sql")))
        self.nodes[DATABASE] = node
        sql = self.place.sql
        wait_until(
            lambda: system_facts(sql),
            patience=PATIENCE.existing_query,
            on=HarnessError,
            every=0.5,
            what=f"the database of {self.name}",
        )
        return NodeStatus(DATABASE, ready=True, detail=str(sql.outside))

    def start_store(self) -> NodeStatus:
        """Have the object store up; return its status. Raises HarnessError."""
        self.nodes[STORE] = self.site.launch(NodeSpec(STORE, (), ports=("s3",), ready=Ready(port="s3")))
        return NodeStatus(STORE, ready=True, detail=str(self.place.s3.outside))

    def start_service(self, service: Service) -> NodeStatus:
        """Have one service up; return its status. Raises HarnessError."""
        ready = Ready(port="http", patience=PATIENCE.workload_ready)
        self.nodes[service.name] = self.site.launch(NodeSpec(service.name, (), ports=("http",), ready=ready))
        return NodeStatus(service.name, ready=True, detail="")

    def destroy(self) -> None:
        """Refuse. Raises Refused."""
        self.site.destroy()

    @property
    def name(self) -> str:
        """The site's name."""
        return self.site.name


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
        return NoWorkloads()
    # The client of clusters takes a second to import: who needs none does without.
    from harness.substrate.existing.workloads import ClusterWorkloads  # noqa: PLC0415

    return ClusterWorkloads(cluster_api(table), table.workloads)


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


@contextmanager
def desk_in(runs: Path, what: str, logs: Path) -> Iterator[Embedded]:
    """Yield where one-shot work runs on this machine, and leave nothing of it but its logs."""
    desk = Embedded(runs / f"{what}-{random.token_hex(4)}", logs)
    try:
        yield desk
    finally:
        desk.sweep()
