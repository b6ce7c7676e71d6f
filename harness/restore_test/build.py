"""A backup and a restore drill of what stands already, from the declaration alone."""

from __future__ import annotations

from pathlib import Path

from harness.core.budget import Promise
from harness.core.errors import UsageError
from harness.core.journal import Journal
from harness.core.record import DrillRecord
from harness.core.service import S3, Sql
from harness.estate.config import Config
from harness.estate.existing import (
    ExistingEstate,
    cluster_api,
    declared,
    desk_in,
    existing_estate,
    offsite_of,
    references,
)
from harness.estate.registry import build_services, sinks_of, start_messages
from harness.evidence.folder import RecordFolder
from harness.evidence.record import Paper
from harness.postgres.identity import system_facts
from harness.postgres.server import SUPERUSER, SUPERUSER_PASSWORD
from harness.repository.catalogue import Repository
from harness.restore_test.interlock import Interlock, Production
from harness.restore_test.restore_test import Rehearsal
from harness.s3.client import read_tag
from harness.s3.server import ACCESS, SECRET
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.existing.site import ExistingSite
from harness.substrate.existing.workloads import NoWorkloads

OBJECTIVE = "The newest backup comes back, works, and is as fresh as was promised."


def rehearse(
    config: Config, promise: Promise, folder: RecordFolder, journal: Journal, paper: Paper, runs: Path
) -> DrillRecord:
    """Carry out one restore drill on the declared DR site and return its record; raises UsageError before it begins."""
    with desk_in(runs, "rehearse", folder.logs) as desk:
        return rehearsal_of(config, desk, promise, folder, journal, paper).run()


def rehearsal_of(
    config: Config, desk: Embedded, promise: Promise, folder: RecordFolder, journal: Journal, paper: Paper
) -> Rehearsal:
    """Return the restore drill on the declared DR site; raises UsageError.

    What would act on the world is held reversibly there, as on the day itself: the workloads are configured for that
    day, and have no sink of ours.
    """
    _, repository = offsite_of(config)
    dr = dr_of(config, desk)
    return Rehearsal(
        name="restore drill",
        objective=OBJECTIVE,
        estate=config.estate.name,
        public_name=config.public_name,
        dr=dr,
        services=build_services(config),
        repository=repository,
        private_key_ref=dr.secrets["recipient.pem"],
        client_secrets=dr.secrets,
        where=lambda: dr.address_of("gateway"),
        promise=promise,
        folder=folder,
        journal=journal,
        paper=paper,
        interlock=interlock_of(config, dr, repository),
        start_messages=start_messages(config),
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
    workloads = dr.site.workloads if isinstance(dr.site, ExistingSite) else NoWorkloads()
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
