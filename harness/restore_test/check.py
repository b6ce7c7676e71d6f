"""Check of the DR site that is declared under [existing.dr]; nothing is changed."""

from collections.abc import Mapping
from contextlib import suppress

from harness.backup.check import check_offsite, check_server, check_volumes
from harness.core.errors import HarnessError
from harness.core.service import Service, Sql
from harness.estate.config import Config
from harness.estate.existing import cluster_api, references, s3_at, sql_at
from harness.estate.existing_config import ExistingSiteTable, ExistingTable
from harness.estate.registry import kind_of
from harness.estate.report import Report, check_files, check_services, secrets_in
from harness.estate.secrets import PRIVATE_KEY, SIGNING_KEY, recipient_name, verify_keys
from harness.estate.site import DATABASE, STORE
from harness.pem import fingerprint
from harness.postgres.identity import system_facts
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.repository.format.recipients import read_private, read_public
from harness.restore_test.interlock import Interlock, today_utc
from harness.restore_test.targets import read_targets, read_targets_key, unexpired
from harness.s3.client import asked, client
from harness.s3.server import ACCESS, SECRET
from harness.signing import read_signing_key, read_verify_key
from harness.vault import read_secret

DR, WHERE = "dr", "existing.dr"


def check_dr(report: Report, config: Config, services: tuple[Service, ...], *, identities: bool = True) -> None:
    """Check the declared DR site: secrets, services, allowlist, and the servers that are not scaled to 0.

    `identities`: whether the site's identities are compared with the allowlist.
    """
    existing = config.existing
    if existing is None or existing.dr is None:
        return
    table = existing.dr
    kept = sorted({name for service in services for name in service.sources().fingerprints})
    secrets = secrets_in(
        report, f"{WHERE}.secrets", table.secrets, (SUPERUSER_PASSWORD, ACCESS, SECRET, PRIVATE_KEY, *kept)
    )
    check_files(report, WHERE, table.sql.ca, table.sql.cert, table.sql.key, table.s3.ca)
    _check_key(report, config, secrets)
    _check_writers(report, config, secrets)
    if secrets:
        for service in services:
            try:
                service.key_functions(secrets)
            except HarnessError as error:
                report.wrong(f"{WHERE}.secrets", str(error))
    _check_nodes(report, config, services, table)
    check_volumes(report, DR, config, services)
    listed = _check_targets(report, existing)
    answering = _check_servers(report, config, table, secrets)
    if listed and identities and secrets:
        with report.noting("existing.targets"):
            _interlock(existing, table, secrets, answering).before()


def require_restore_test(config: Config) -> None:
    """Raise UsageError for all mistakes of a declaration that a test on its DR site needs.

    Findings about the estate do not raise: they are in the record of the test.
    """
    report = Report()
    services = check_services(report, config)
    check_offsite(report, config, writes=False, probe=False)
    check_dr(report, config, services, identities=False)  # the interlock of the test compares them
    report.require_declared()


def _check_targets(report: Report, existing: ExistingTable) -> bool:
    """Check the allowlist, its signature and the key that verifies it; return whether it can be used."""
    with report.noting("existing.targets_key"):
        key = read_targets_key(existing.targets_key)
        with report.noting("existing.targets"):
            unexpired(existing.targets, read_targets(existing.targets, key), today_utc())
            return True
    return False


def _check_servers(
    report: Report, config: Config, table: ExistingSiteTable, secrets: Mapping[str, str]
) -> frozenset[str]:
    """Check the servers that are no workloads, which may be scaled to 0; return those that answer."""
    started, answering = set(table.cluster.workloads) if table.cluster is not None else set(), set()
    if SUPERUSER_PASSWORD in secrets and DATABASE not in started:
        with report.noting(WHERE):
            sql = sql_at(table, secrets)
            if check_server(report, f"{WHERE}.sql", sql, restores=True):
                answering.add(DATABASE)
                _check_system(report, config, sql)
    if ACCESS in secrets and SECRET in secrets and STORE not in started:
        with report.noting(WHERE):
            s3 = s3_at(table, secrets)
            with report.noting(f"{WHERE}.s3"), asked(s3, "*", "buckets cannot be listed"):
                client(s3).list_buckets()
                answering.add(STORE)
    return frozenset(answering)


def _interlock(
    existing: ExistingTable, table: ExistingSiteTable, secrets: Mapping[str, str], answering: frozenset[str]
) -> Interlock:
    """Return the interlock of the servers that answer; production is the restore test's own question."""
    return Interlock(
        site=DR,
        targets=existing.targets,
        key=existing.targets_key,
        sql=sql_at(table, secrets),
        s3=s3_at(table, secrets),
        cluster=None if table.cluster is None else cluster_api(table.cluster).identity,
        scaled_to_zero=lambda node: node not in answering,
    )


def _check_key(report: Report, config: Config, secrets: Mapping[str, str]) -> None:
    """Check that DR's private key is one, and the other half of the key that the primary has for it."""
    if PRIVATE_KEY not in secrets:
        return
    where = f"{WHERE}.secrets"
    with report.noting(where):
        mine = fingerprint(read_private(read_secret(secrets[PRIVATE_KEY])).public_key())
        primary = config.existing.primary if config.existing else None
        public = primary.secrets / recipient_name(DR) if primary is not None else None
        if public is not None and public.is_file() and mine != fingerprint(read_public(public.read_bytes())):
            report.wrong(where, f"{PRIVATE_KEY} is not the private half of {public}; DR could not open new backups")


def _check_writers(report: Report, config: Config, secrets: Mapping[str, str]) -> None:
    """Check that DR trusts a writer, and the one that the primary signs with."""
    where = f"{WHERE}.secrets"
    with report.noting(where):
        trusted = {fingerprint(read_verify_key(read_secret(one))) for one in verify_keys(secrets)}
        if secrets and not trusted:
            report.wrong(where, "no writer-*.pub: no backup would be trusted; copy the writer's public key there")
        primary = config.existing.primary if config.existing else None
        own = primary.secrets / SIGNING_KEY if primary is not None else None
        if trusted and own is not None and own.is_file():
            key = read_signing_key(own.read_bytes()).public_key()
            if fingerprint(key) not in trusted:
                report.wrong(where, f"no writer-*.pub is the public half of {own}; new backups would not be trusted")


def _check_system(report: Report, config: Config, sql: Sql) -> None:
    """Check that DR's server is not the primary's, and not older."""
    primary = config.existing.primary if config.existing else None
    if primary is None:
        return
    with suppress(HarnessError):  # the primary is checked by itself
        system = system_facts(sql)
        theirs = system_facts(sql_at(primary, references(primary.secrets, SUPERUSER_PASSWORD)))
        if theirs.identifier == system.identifier:
            report.found(f"{WHERE}.sql", f"is the primary's own server (system {system.identifier}); name DR's")
        elif theirs.major > system.major:
            report.found(f"{WHERE}.sql", f"PostgreSQL {system.major} is older than the primary's {theirs.major}")


def _check_nodes(report: Report, config: Config, services: tuple[Service, ...], table: ExistingSiteTable) -> None:
    """Check that each service can be started or asked: it has a workload or an address."""
    entries = [name for name in config.services if kind_of(config, name).entry]
    workloads = table.cluster.workloads if table.cluster is not None else {}
    if table.gateway is None:
        report.wrong(f"{WHERE}.gateway", "not declared; the key functions are tested there")
    for service in services:
        if service.name not in workloads and service.name not in table.services and service.name not in entries:
            report.wrong(
                f"{WHERE}.services",
                f"{service.name} is not declared; name its address there, or its workload under [existing.dr.cluster]",
            )
