"""Check of a declaration against its estate: everything that is wrong is found at once, and nothing is changed."""

import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.backup.plan import SHOWN, listed_buckets
from harness.core.errors import BackupFailed, MissingPart, UsageError
from harness.core.service import S3, Service, Sql
from harness.core.text import some
from harness.estate.config import Config
from harness.estate.connections import Connections
from harness.estate.existing import connect_offsite, s3_at, sql_at
from harness.estate.registry import kind_of
from harness.estate.report import Report, check_files, check_services, secrets_in
from harness.estate.secrets import RECIPIENTS, SIGNING_KEY, verify_keys
from harness.parts.programs import client_program
from harness.pem import fingerprint
from harness.physical.programs import programs_of
from harness.physical.required import ask_required
from harness.physical.source import slot_name
from harness.postgres.client import must_encrypt
from harness.postgres.identity import ask, catalogue
from harness.postgres.server import SUPERUSER_PASSWORD, connect
from harness.repository.format.recipients import read_public
from harness.repository.store.port import ObjectStore
from harness.repository.store.probe import known
from harness.s3.client import asked, client
from harness.s3.server import ACCESS, SECRET
from harness.signing import read_signing_key, read_verify_key
from harness.vault import read_secret

OLDEST, NEWEST = 14, 18  # majors of PostgreSQL
RIGHTS = """
SELECT rolsuper, pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
       pg_catalog.pg_has_role(current_user, 'pg_read_all_data', 'USAGE'), rolbypassrls, rolcreatedb, rolcreaterole
FROM pg_catalog.pg_roles WHERE rolname = current_user
"""
NEEDED = ("pg_authid", "pg_read_all_data", "BYPASSRLS", "CREATEDB", "CREATEROLE")  # what RIGHTS asks for, in its order
ROLES = "SELECT rolname FROM pg_catalog.pg_roles"


def check_recipients(report: Report, where: str, secrets: Mapping[str, str]) -> None:
    """Check that the recipients' files are public keys, and two different ones."""
    seen: dict[str, str] = {}
    for name in RECIPIENTS:
        if name not in secrets:
            continue
        with report.noting(where):
            try:
                key = fingerprint(read_public(read_secret(secrets[name])))
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from None
            if key in seen:
                report.wrong(where, f"{name} is the same key as {seen[key]}; its loss would be that of all backups")
            seen.setdefault(key, name)


def check_writer(report: Report, where: str, secrets: Mapping[str, str]) -> None:
    """Check that the writer's key is one, and that its public half is among the keys trusted there."""
    if SIGNING_KEY not in secrets:
        return
    with report.noting(where):
        own = fingerprint(read_signing_key(read_secret(secrets[SIGNING_KEY])).public_key())
        if own not in [fingerprint(read_verify_key(read_secret(one))) for one in verify_keys(secrets)]:
            report.wrong(where, f"no writer-*.pub is the public half of {SIGNING_KEY}; copy it there, and to DR")


def check_server(report: Report, where: str, sql: Sql, *, restores: bool) -> bool:
    """Check that the server answers, its version and programs, and that its user may do all; return whether he may."""
    with report.noting(where):
        # Without settings that only superusers may set, so that one who is none is told so.
        with connect(replace(sql, user=""), user=sql.user) as connection:
            major = connection.info.server_version // 10000
            superuser, *rights = connection.execute(RIGHTS).fetchone() or (False,)
        if not OLDEST <= major <= NEWEST:
            report.found(where, f"PostgreSQL {major}; versions {OLDEST} to {NEWEST} are supported")
        for name in ("pg_dump", "pg_restore", "psql"):
            client_program(name, major, tls=must_encrypt(sql))
        if not superuser:
            what = "restore" if restores else "take a full backup"
            lacking = [name for name, has in zip(NEEDED, rights, strict=False) if not has] or ["superuser's settings"]
            report.found(where, f"user {sql.user} cannot {what}: lacks {', '.join(lacking)}; declare a superuser")
        return bool(superuser)
    return False


def check_physical(report: Report, where: str, sql: Sql, config: Config, *, incremental: bool) -> None:
    """Check what a physical backup and continuous WAL need of the server, and of the programs of a restore."""
    with report.noting(where):
        found = ask_required(sql, slot_name(config.estate.name), incremental=incremental)
        for line in found.all_failures:
            report.found(where, line)
        for line in found.warnings:
            report.warn(where, line)
        try:
            lacking = programs_of(found.major).lacking
        except MissingPart as error:
            report.warn(where, f"{error}; only the machine that restores needs it")
        else:
            for name in lacking:
                report.warn(where, f"{name} of PostgreSQL {found.major} is missing here; a restore needs it")


def check_databases(report: Report, config: Config, services: Sequence[Service], sql: Sql) -> None:
    """Check that every declared database exists, and every role that services connect as."""
    with report.noting("existing.primary.sql"):
        there = {entry.name for entry in catalogue(sql)}
        roles = {str(name) for (name,) in ask(sql, ROLES)}
        for name in sorted(config.databases.keys() - there):
            report.found(f"databases.{name}", f"no database {name!r} on {sql} that could be asked; correct the name")
        for service in services:
            where, sources = f"services.{service.name}", service.sources()
            for name in sources.databases:
                if name not in there and f"database {name}" not in config.backup.exclude:
                    said = f"no database {name!r} on {sql}; there are: {some(sorted(there), SHOWN) or 'none'}"
                    report.found(f"{where}.databases", said)
                    report.absent.add(f"database {name}")
            table = config.services[service.name]
            specs = kind_of(config, service.name).secrets(service.name, table) if sources.databases else ()
            for role in [spec.role for spec in specs if spec.role and spec.role not in roles]:
                report.gap(where, f"no role {role!r} on {sql}; a restored service could not log in as it")


def check_buckets(report: Report, config: Config, services: Sequence[Service], s3: S3) -> None:
    """Check that the store answers with these keys, and that every declared bucket exists and can be read."""
    where, store = "existing.primary.s3", client(s3)
    before = len(report.defects)
    with report.noting(where):
        listed_buckets(s3)
    if len(report.defects) > before:
        return
    wanted = [(service.name, objects.bucket) for service in services for objects in service.sources().objects]
    for service, bucket in wanted:
        if f"bucket {bucket}" in config.backup.exclude:
            continue
        with report.noting(where), asked(s3, bucket, "cannot be read"):
            if not store.bucket_exists(bucket):
                report.found(f"services.{service}", f"no bucket {bucket!r} at {s3.outside}; create or rename it")
                report.absent.add(f"bucket {bucket}")
                continue
            first = next(iter(store.list_objects(bucket, recursive=True)), None)
            if first is not None:
                store.stat_object(bucket, str(first.object_name))


def check_volumes(report: Report, site: str, config: Config, services: Sequence[Service]) -> None:
    """Check that every volume that a backup or restore of a site needs is declared, and that its folder is there."""
    table = getattr(config.existing, site)
    where, folders = f"existing.{site}.volumes", table.volumes
    for service in services:
        sources = service.sources()
        trees = {tree.volume for tree in sources.trees if not tree.optional}
        rest = {*sources.volumes, *(tree.volume for tree in sources.trees)} - trees
        for name in sorted(trees | rest):
            if name in folders or f"volume {name}" in config.backup.exclude:
                continue
            said = f"{name} of service {service.name} is not declared; name its folder there"
            report.wrong(where, said) if name in trees else report.gap(where, f"{said}, or exclude it")
            report.absent.add(f"volume {name}")
    for name, folder in folders.items():
        if not folder.is_dir():
            report.wrong(f"{where}.{name}", f"{folder} is no folder here; mount it there, or correct the path")
            report.absent.add(f"volume {name}")


def check_offsite(report: Report, config: Config, *, writes: bool, probe: bool = True) -> None:
    """Check that the repository answers and can be listed and read, and written to if it `writes` and is probed."""
    where, table = "existing.offsite", config.existing.offsite if config.existing else None
    if table is None:
        report.wrong(where, "no repository is declared; add [existing.offsite]")
        return
    if writes and table.read_only:
        report.wrong(f"{where}.read_only", "a backup cannot be written; set it to false for backups")
    before = len(report.defects)
    if table.s3 is not None and table.secrets is not None:
        check_files(report, where, table.s3.ca)
        secrets_in(report, f"{where}.secrets", table.secrets, (ACCESS, SECRET))
    if len(report.defects) > before:
        return
    with report.noting(where):
        store = Connections(config, (), replace(connect_offsite(config), read_only=False)).repository.store
        _read(store, config.estate.name)
        if (abilities := known(store, config.estate.name)) is not None:
            report.store.append(f"probed {abilities.at:%Y-%m-%d}: {abilities}")
        if probe and not table.read_only:
            _write(store, config.estate.name)


def _read(store: ObjectStore, estate: str) -> None:
    first = next(iter(store.list(f"{estate}/")), None)
    if first is not None:
        next(iter(store.get(first.key, 0, 1)), b"")


def _write(store: ObjectStore, estate: str) -> None:
    key = f"{estate}/probe/{random.token_hex(8)}"  # no kind of object of a backup
    store.put(key, iter((b"probe",)))
    store.delete(key)


def check_primary(report: Report, config: Config, services: Sequence[Service], *, incremental: bool = False) -> None:
    """Check the declared primary: its secrets, its servers, and that everything that services declare is there.

    `incremental`: also what a backup of that mode needs.
    """
    table = config.existing.primary if config.existing else None
    if table is None:
        return
    where = "existing.primary"
    check_files(report, where, table.sql.ca, table.sql.cert, table.sql.key, table.s3.ca)
    kept = sorted({name for service in services for name in service.sources().fingerprints})
    secrets = secrets_in(
        report, f"{where}.secrets", table.secrets, (SUPERUSER_PASSWORD, ACCESS, SECRET, *RECIPIENTS, SIGNING_KEY, *kept)
    )
    check_recipients(report, f"{where}.secrets", secrets)
    check_writer(report, f"{where}.secrets", secrets)
    check_volumes(report, "primary", config, services)
    if SUPERUSER_PASSWORD in secrets:
        with report.noting(where):
            sql = sql_at(table, secrets)
            if check_server(report, f"{where}.sql", sql, restores=False):
                check_databases(report, config, services, sql)
            if config.backup.mode == "physical":
                chained = incremental or config.backup.full_days > 0
                check_physical(report, f"{where}.sql", sql, config, incremental=chained)
    if ACCESS in secrets and SECRET in secrets:
        with report.noting(where):
            check_buckets(report, config, services, s3_at(table, secrets))


def require_backup(config: Config) -> None:
    """Raise UsageError for all mistakes of a declaration that a backup needs, BackupFailed for all it would fail at."""
    report = Report()
    services = check_services(report, config)
    check_offsite(report, config, writes=True, probe=False)
    check_primary(report, config, services)
    report.require_possible(f"backup of {config.estate.name}")


def require_schedule(config: Config) -> tuple[str, ...]:
    """Return what a backup would fail at now, a line each: the schedule can start, each failure rings.

    Raises UsageError for all mistakes of the declaration.
    """
    try:
        require_backup(config)
    except BackupFailed as error:
        return (str(error),)
    return ()
