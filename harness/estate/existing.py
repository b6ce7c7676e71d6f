"""Connects to existing infrastructure that is declared under [existing]: a primary, a repository, a DR site."""

from __future__ import annotations

import secrets as random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, UsageError
from harness.core.node import Address, NodeSpec, Ready
from harness.core.service import S3, Probed, Service, Sql
from harness.estate.config import Config
from harness.estate.connections import Connections, Offsite, located
from harness.estate.existing_config import (
    ClusterTable,
    ExistingOffsiteTable,
    ExistingSiteTable,
    ExistingTable,
    WitnessStoreTable,
)
from harness.estate.registry import build_services, entry_of, sinks_of
from harness.estate.secrets import PRIVATE_KEY, RECIPIENTS, SIGNING_KEY, verify_keys
from harness.estate.site import DATABASE, STORE, EstateSite, NodeStatus
from harness.patience import PATIENCE
from harness.postgres.identity import system_facts
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.repository.catalogue import Repository
from harness.s3.server import ACCESS, SECRET
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.undo_journal import UndoJournal
from harness.substrate.existing.site import ExistingSite
from harness.substrate.existing.workloads import NoWorkloads, Workloads

if TYPE_CHECKING:
    from harness.kubernetes.api import Api


@dataclass(slots=True)
class ExistingEstateSite(EstateSite):
    """An existing site of the estate; its nodes are started by name, as workloads or by an operator."""

    def start_database(self) -> NodeStatus:
        """Start the database server and wait until it answers a query; return its status. Raises HarnessError."""
        node = self.site.launch(NodeSpec(DATABASE, (), ports=("sql",), ready=Ready(port="sql")))
        self.nodes[DATABASE] = node
        sql = self.place.sql
        what = f"the database of {self.site.name}"
        wait_until(lambda: system_facts(sql), patience=PATIENCE.existing_query, on=HarnessError, every=0.5, what=what)
        return NodeStatus(DATABASE, ready=True, detail=str(sql))

    def start_store(self) -> NodeStatus:
        """Start the object store; return its status. Raises HarnessError."""
        self.nodes[STORE] = self.site.launch(NodeSpec(STORE, (), ports=("s3",), ready=Ready(port="s3")))
        return NodeStatus(STORE, ready=True, detail=str(self.place.s3.outside))

    def start_service(self, service: Service) -> NodeStatus:
        """Start one service; return its status. Raises HarnessError."""
        ready = service.ready if isinstance(service, Probed) else Ready(port="http")
        ready = replace(ready, patience=max(ready.patience, PATIENCE.workload_ready))
        self.nodes[service.name] = self.site.launch(NodeSpec(service.name, (), ports=("http",), ready=ready))
        return NodeStatus(service.name, ready=True, detail="")

    def destroy(self) -> None:
        """Always refused; raises Refused."""
        self.site.destroy()


def declared(config: Config) -> ExistingTable:
    """Return the [existing] table; raises UsageError when there is none."""
    if config.existing is None:
        raise UsageError(f"estate {config.estate.name}: nothing is declared under [existing]; see deploy/README.md")
    return config.existing


def declared_site(config: Config, name: str) -> ExistingSiteTable:
    """Return the table [existing.NAME] of a site; raises UsageError when there is none."""
    table: ExistingSiteTable | None = getattr(declared(config), name)
    if table is None:
        raise UsageError(f"estate {config.estate.name}: no site is declared under [existing.{name}]")
    return table


def references(folder: Path, *needed: str) -> Mapping[str, str]:
    """Return a reference to each secret in a folder; raises UsageError when the folder or a needed one is missing."""
    try:
        found = {p.name: f"file:{p}" for p in sorted(folder.iterdir()) if not p.name.startswith(".") and p.is_file()}
    except OSError as error:
        raise UsageError(f"{folder}: secrets cannot be read ({error.strerror}); create or mount that folder") from None
    if lacking := [name for name in needed if name not in found]:
        raise UsageError(f"{folder}/{lacking[0]}: missing; add that secret")
    return found


def sql_at(table: ExistingSiteTable, secrets: Mapping[str, str]) -> Sql:
    """Return the connection to a declared database server; raises UsageError for a certificate that is not there."""
    require_files("sql", table.sql.ca, table.sql.cert, table.sql.key)
    return table.sql.connection(secrets[SUPERUSER_PASSWORD])


def s3_at(table: ExistingSiteTable, secrets: Mapping[str, str]) -> S3:
    """Return the connection to a declared object store; raises UsageError for a certificate that is not there."""
    require_files("s3", table.s3.ca)
    return table.s3.connection(secrets[ACCESS], secrets[SECRET])


def connect_site(config: Config, name: str, local: Embedded, *needed: str) -> ExistingEstateSite:
    """Return a declared site; raises UsageError. `local`: substrate of one-shot tasks; `needed`: further secrets."""
    table = declared_site(config, name)
    secrets = references(table.secrets, SUPERUSER_PASSWORD, ACCESS, SECRET, *needed)
    addresses: dict[str, dict[str, tuple[Address, ...]]] = {
        DATABASE: {"sql": table.sql.addresses},
        STORE: {"s3": (table.s3.address,)},
    }
    services = {**table.services, **({entry_of(config): table.gateway} if table.gateway is not None else {})}
    addresses |= {service: {"http": (address,)} for service, address in services.items()}
    desk = local.desk(name)
    site = ExistingSite(name, desk, addresses, table.volumes, workloads_of(table.cluster), undo=desk.journal)
    made = ExistingEstateSite(site, secrets, {})
    made.sql, made.s3 = sql_at(table, secrets), s3_at(table, secrets)
    return made


def require_files(where: str, *paths: Path | None) -> None:
    """Raise UsageError for a declared certificate or key that is no file here."""
    for path in paths:
        if path is not None and not path.is_file():
            raise UsageError(f"{where}: {path} is no file; put it there, or correct its path")


def workloads_of(table: ClusterTable | None) -> Workloads:
    """Return the workloads of a site, which start and stop its nodes; `NoWorkloads` outside a cluster."""
    if table is None:
        return NoWorkloads()
    # The Kubernetes client takes a second to import.
    from harness.substrate.existing.workloads import ClusterWorkloads  # noqa: PLC0415

    return ClusterWorkloads(cluster_api(table), table.workloads)


def cluster_api(table: ClusterTable) -> Api:
    """Return the API client of a declared cluster; without a kubeconfig it uses the service account of this pod."""
    from harness.kubernetes.api import Api  # noqa: PLC0415

    where = table.context or table.kubeconfig or "this cluster"
    return Api(where, table.namespace, Path(table.kubeconfig) if table.kubeconfig else None, table.context)


def connect_offsite(config: Config) -> Offsite:
    """Return the location of the declared repository; raises UsageError."""
    table = declared(config).offsite
    if table is None:
        raise UsageError(f"estate {config.estate.name}: no repository is declared under [existing.offsite]")
    return _located("existing.offsite", table)


def witness_store(config: Config) -> Offsite | None:
    """Return the location of the witness's own store, None where none is declared. Raises UsageError."""
    offsite = config.existing.offsite if config.existing is not None else None
    table = offsite.witness_store if offsite is not None else None
    return None if table is None else _located("existing.offsite.witness_store", table)


def _located(where: str, table: ExistingOffsiteTable | WitnessStoreTable) -> Offsite:
    if table.s3 is not None:
        require_files(where, table.s3.ca)
    return located(table, {} if table.secrets is None else references(table.secrets, ACCESS, SECRET))


def repository_to_read(
    config: Config, trusted: tuple[str, ...], *, allow_unsigned: bool = False, witness: Path | None = None
) -> Repository:
    """Return the declared repository; nothing can be written to it. Raises UsageError.

    `trusted`: references to the keys of the writers whose backups are read.
    """
    offsite = replace(connect_offsite(config), read_only=True)
    return Connections(
        config,
        (),
        offsite,
        trusted=trusted,
        allow_unsigned=allow_unsigned,
        witness=witness_of(config, witness),
        second=witness_store(config),
    ).repository


def repository_to_write(config: Config, trusted: tuple[str, ...]) -> Repository:
    """Return the declared repository for a change of it. `trusted`: references to the keys of its writers.

    Raises UsageError when it is declared as read-only.
    """
    offsite = connect_offsite(config)
    if offsite.read_only:
        raise UsageError("existing.offsite.read_only: nothing there can be changed or removed; set it to false")
    second = witness_store(config)
    return Connections(config, (), offsite, trusted=trusted, witness=witness_of(config), second=second).repository


def reader_secrets(config: Config, folder: Path) -> Mapping[str, str]:
    """Return the secrets that backups are read with: of the DR site, whose `folder` it is, else of the primary.

    Raises UsageError for an unreadable folder.
    """
    if folder.is_dir():
        return references(folder)
    primary = config.existing.primary if config.existing is not None else None
    return references(primary.secrets) if primary is not None else {}


def writers_in(secrets: Mapping[str, str], where: object, *, allow_unsigned: bool = False) -> tuple[str, ...]:
    """Return the references to the keys of trusted writers. Raises UsageError without one: no backup would be read.

    `where`: the folder of these secrets.
    """
    found = verify_keys(secrets)
    if not found and not allow_unsigned:
        raise UsageError(
            f"{where}: no writer-*.pub, so that no backup is trusted; copy the public key of the writer there "
            "(`blackstart keys new writer` makes one)"
        )
    return found


def witness_of(config: Config, default: Path | None = None) -> Path | None:
    """Return the declared file of the witness, else `default`."""
    table = config.existing.offsite if config.existing is not None else None
    return table.witness if table is not None and table.witness is not None else default


def connect_primary(config: Config, local: Embedded) -> Connections:
    """Return the declared primary and its repository, for a backup; raises UsageError."""
    services = build_services(config)
    needed = {name for service in services for name in service.sources().fingerprints}
    offsite = connect_offsite(config)
    primary = connect_site(config, "primary", local, *RECIPIENTS, SIGNING_KEY, *sorted(needed))
    recipients = tuple(primary.secrets[name] for name in RECIPIENTS)
    return Connections(
        config,
        services,
        offsite,
        primary=primary,
        recipients=recipients,
        witness=witness_of(config),
        second=witness_store(config),
    )


def connect_dr(config: Config, local: Embedded, witness: Path, *, allow_unsigned: bool = False) -> Connections:
    """Return the declared DR site and the repository, for a restore test; raises UsageError.

    `witness`: file that keeps what was seen of the repository, where the declaration names none.
    """
    if declared_site(config, "dr").gateway is None:
        raise UsageError("existing.dr.gateway: not declared; the key functions are tested there")
    offsite, dr = connect_offsite(config), connect_site(config, "dr", local, PRIVATE_KEY)
    writers_in(dr.secrets, declared_site(config, "dr").secrets, allow_unsigned=allow_unsigned)
    dr.sinks = sinks_of(config)
    return Connections(
        config,
        build_services(config),
        offsite,
        dr=dr,
        client_secrets=dr.secrets,
        allow_unsigned=allow_unsigned,
        witness=witness_of(config, witness),
        second=witness_store(config),
    )


def new_run(runs: Path, what: str) -> Path:
    """Return the path of a new run folder."""
    return (runs / f"{what}-{random.token_hex(4)}").resolve()


@contextmanager
def workspace(run: Path, logs: Path) -> Iterator[Embedded]:
    """Yield a local substrate for one-shot tasks on existing sites. Everything but its logs is removed afterwards."""
    local = Embedded(run, logs)
    UndoJournal(local.run).note_harness()  # nobody sweeps the run of a living harness
    try:
        yield local
    finally:
        local.sweep()
