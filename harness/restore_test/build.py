"""Builds and runs the restore test on the DR site that is declared under [existing]."""

from collections.abc import Mapping
from pathlib import Path

from harness.core.journal import Journal
from harness.core.record import DrillRecord
from harness.estate.config import Config
from harness.estate.connections import Connections
from harness.estate.existing import cluster_api, connect_dr, declared, references, s3_at, sql_at, workspace
from harness.estate.registry import entry_of
from harness.estate.target_lock import alone_at, dr_target
from harness.evidence.folder import RecordFolder
from harness.evidence.record import RecordHeader
from harness.postgres.identity import system_facts
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.recovery.begun import note_begun
from harness.restore_test.interlock import Interlock, Production
from harness.restore_test.restore_test import RestoreTest
from harness.restore_test.undo import SiteUndo, alive
from harness.s3.client import read_tag
from harness.s3.server import ACCESS, SECRET
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.existing.site import ExistingSite
from harness.substrate.existing.workloads import NoWorkloads

NAME, OBJECTIVE = "restore test", "The newest backup is restored and works, and its age is within the promise."


def run_restore_test(
    config: Config,
    header: RecordHeader,
    folder: RecordFolder,
    journal: Journal,
    run: Path,
    given: Mapping[str, str],
    *,
    unsigned: bool = False,
) -> DrillRecord:
    """Run one restore test on the declared DR site and return its record.

    `run`: its run folder; `given`: the options with which it can be resumed; `unsigned`: whether backups that nobody
    signed are read. Raises UsageError before it begins, Refused while another one is at the same site.
    """
    declared(config)
    with (
        alone_at(dr_target(config), f"{header.drill} {folder.path.name}"),
        workspace(run, folder.logs) as local,
    ):
        note_begun(local.run, NAME, folder.path, given)
        test = restore_test_of(config, local, header, folder, journal, unsigned=unsigned)
        with alive(local.run):
            return test.run()


def restore_test_of(
    config: Config,
    local: Embedded,
    header: RecordHeader,
    folder: RecordFolder,
    journal: Journal,
    *,
    unsigned: bool = False,
) -> RestoreTest:
    """Return the restore test on the declared DR site, contained reversibly: it is production's. Raises UsageError."""
    connections = connect_dr(config, local, folder.witness, allow_unsigned=unsigned)
    entry = entry_of(config)
    return RestoreTest(
        header=header,
        connections=connections,
        gateway=lambda: connections.recovered.address_of(entry),
        folder=folder,
        journal=journal,
        interlock=interlock_of(connections),
        undo=SiteUndo.begin(local.run, config, local.logs),
    )


def interlock_of(connections: Connections) -> Interlock:
    """Return the interlock of the declared DR site; raises UsageError."""
    existing, dr = declared(connections.config), connections.recovered
    cluster = existing.dr.cluster if existing.dr is not None else None
    workloads = dr.site.workloads if isinstance(dr.site, ExistingSite) else NoWorkloads()
    return Interlock(
        site=dr.site.name,
        targets=existing.targets,
        key=existing.targets_key,
        sql=dr.place.sql,
        s3=dr.place.s3,
        cluster=None if cluster is None else cluster_api(cluster).identity,
        scaled_to_zero=lambda node: workloads.replicas(node) == 0,
        production=lambda: production_of(connections),
    )


def production_of(connections: Connections) -> Production:
    """Return production's identities: the systems of its backups, and its declared primary.

    Raises HarnessError when an identity cannot be read. Manifests of damaged backups are skipped, because the test
    must pass over such backups; the preflight refuses a system in use that only they name.
    """
    committed = connections.repository.committed()
    systems = {entry.system for entry in committed if entry.system}
    table = declared(connections.config).primary
    if table is None:
        return Production(frozenset(systems))
    secrets = references(table.secrets, SUPERUSER_PASSWORD, ACCESS, SECRET)
    systems.add(system_facts(sql_at(table, secrets)).identifier)
    s3 = s3_at(table, secrets)
    buckets = sorted({o.bucket for service in connections.services for o in service.sources().objects})
    tags = {tag for bucket in buckets if (tag := read_tag(s3, bucket))}
    clusters = {cluster_api(table.cluster).identity()} if table.cluster else set[str]()
    return Production(frozenset(systems), frozenset(tags), frozenset(clusters))
