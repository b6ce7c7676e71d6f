"""Seeding of a prepared estate: the example services of a base, and what one declaration adds and leaves out."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from psycopg import sql as compose

from harness.core.errors import HarnessError
from harness.core.node import Stoppable
from harness.core.parallel import in_parallel
from harness.core.service import S3, Seedable, Service, Sql
from harness.core.wal import SEGMENT
from harness.declaration import SecretSpec, ServiceKind
from harness.drill.strike import Identity
from harness.estate.config import Config
from harness.estate.kinds import EXAMPLES
from harness.estate.registry import build_services, first_bucket, kind_of
from harness.estate.secrets import Secrets, add_service_secrets, make_secrets
from harness.estate.site import DATABASE, STORE, EstateSite
from harness.parts.install import ensure
from harness.patience import PATIENCE
from harness.postgres.bulk import seed_bulk
from harness.postgres.identity import databases, system_facts
from harness.postgres.server import ask_row, connect
from harness.s3.client import IDENTITY_BUCKET, asked, client, ensure_bucket, tag
from harness.substrate.embedded.substrate import Embedded

IDENTITY_FILE = "identity.json"  # written last
Say = Callable[[str], None]
# Roles that own no database any more are of services that were left out.
IDLE_ROLES = """
    SELECT rolname FROM pg_roles r WHERE NOT rolsuper AND rolname NOT LIKE 'pg\\_%'
    AND NOT EXISTS (SELECT FROM pg_database d WHERE d.datdba = r.oid)
"""
NEXT_SEGMENT = """
    SELECT pg_walfile_name(pg_current_wal_insert_lsn() + pg_size_bytes(current_setting('wal_segment_size')))
"""


def examples(config: Config) -> tuple[str, ...]:
    """Return the kinds with data that are declared as the example estate has them, and can come from a shared base."""
    return tuple(sorted(kind.name for kind in EXAMPLES if kind.seeds and _is_standard(config, kind)))


def _is_standard(config: Config, kind: ServiceKind) -> bool:
    """Return whether a kind is declared once, by its own name, and differs in nothing that is seeded."""
    named = [name for name, table in config.services.items() if table.kind == kind.name]
    if named != [kind.name]:
        return False
    return config.services[kind.name].model_copy(update={"needs": ()}) == kind.table(kind=kind.name)


def make_base(building: Path, name: str, kinds: tuple[str, ...], say: Say) -> None:
    """Seed the example services of these kinds into the empty folder `building`. Raises HarnessError."""
    config = Config.model_validate(
        {
            "estate": {"name": name, "zone": "shop.test"},
            "sites": {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}},
            "services": {kind: {"kind": kind} for kind in kinds},
        }
    )
    services = build_services(config)
    secrets = make_secrets(building / "secrets", _specs(config))
    with running_primary(building, secrets) as site:
        calls = {s.name: partial(_seed, s, kind_of(config, s.name), site, say) for s in services}
        in_parallel(calls)
        _finish(building, site, name, services)


def derive(building: Path, base: Path, config: Config, say: Say) -> None:
    """Make the estate of `config` from a copy of a base: add its own services, leave out what it does not declare."""
    shutil.copytree(base / "secrets", building / "secrets")
    secrets = Secrets(building / "secrets")
    services = build_services(config)
    shared = examples(config)
    add_service_secrets(secrets, _specs(config))
    volumes = {volume for s in services for volume in s.sources().volumes} | {DATABASE, STORE}
    kept = [volume for volume in sorted((base / "volumes").iterdir()) if volume.name in volumes]
    with running_primary(building, secrets, kept) as site:
        _leave_out(site, services)
        for service in services:
            if service.name not in shared:
                _seed(service, kind_of(config, service.name), site, say)
        if config.data.bulk_mb:
            seed_bulk(site.site, site.place.sql, megabytes=config.data.bulk_mb)
        _finish(building, site, config.estate.name, services)


def _specs(config: Config) -> Iterator[SecretSpec]:
    for name, table in config.services.items():
        yield from kind_of(config, name).secrets(name, table)


def _leave_out(site: EstateSite, services: tuple[Service, ...]) -> None:
    """Remove databases, roles and buckets that no service declares."""
    sql, s3 = site.place.sql, site.place.s3
    wanted = {database for s in services for database in s.sources().databases}
    with connect(sql) as connection:
        for database in set(databases(sql)) - wanted:
            connection.execute(compose.SQL("DROP DATABASE {}").format(compose.Identifier(database)))
        for (role,) in connection.execute(IDLE_ROLES).fetchall():
            connection.execute(compose.SQL("DROP ROLE {}").format(compose.Identifier(role)))
    kept = {objects.bucket for s in services for objects in s.sources().objects}
    store = client(s3)
    with asked(s3, "*", "cannot be removed"):
        for bucket in store.list_buckets():
            if bucket.name not in kept:
                for entry in store.list_objects(bucket.name, recursive=True, include_version=True):
                    store.remove_object(bucket.name, str(entry.object_name), version_id=entry.version_id)
                store.remove_bucket(bucket.name)


def _finish(building: Path, site: EstateSite, name: str, services: tuple[Service, ...]) -> None:
    """Tag the estate's bucket, export all objects and write the identity."""
    s3 = site.place.s3
    bucket = first_bucket(services) or IDENTITY_BUCKET
    ensure_bucket(s3, bucket)
    tag(s3, bucket, name)
    _export(s3, building / "objects")
    identity = Identity(system_facts(site.place.sql).identifier, bucket, name)
    text = json.dumps({"system": identity.system, "bucket": identity.bucket, "tag": identity.tag})
    (building / IDENTITY_FILE).write_text(text, encoding="utf-8")


@contextmanager
def running_primary(building: Path, secrets: Secrets, volumes: list[Path] | None = None) -> Iterator[EstateSite]:
    """Yield a primary site; after a block without error it is shut down cleanly and its volumes are kept."""
    for part in ("postgres", "seaweedfs"):
        ensure(part)
    substrate = Embedded(building / "run", building / "logs")
    site = EstateSite(substrate.site("primary"), secrets.of("primary"), {})
    try:
        for volume in volumes or ():
            substrate.import_volume("primary", volume.name, volume)
        site.activate()
        yield site
        last = _last_segment(site.place.sql)
        for node in site.nodes.values():
            if isinstance(node, Stoppable):
                node.stop(PATIENCE.node_stop)
        (building / "run" / "sites" / "primary" / "volumes").rename(building / "volumes")
        _drop_spare_wal(building / "volumes" / DATABASE / "data" / "pg_wal", last)
    finally:
        substrate.sweep()


def _last_segment(sql: Sql) -> str:
    """Return the name of the WAL segment after the one that a checkpoint now ends in: its server writes no further."""
    with connect(sql) as connection:
        connection.execute("CHECKPOINT")
    return str(ask_row(sql, NEXT_SEGMENT)[0])


def _drop_spare_wal(folder: Path, last: str) -> None:
    """Remove the segments after `last` of a stopped server, which it keeps to be written over.

    Seeding leaves as much of them as it has data, and every drill would copy them.
    """
    for segment in folder.iterdir():
        if SEGMENT.fullmatch(segment.name) and segment.name > last:
            segment.unlink()


def _seed(service: Service, kind: ServiceKind, site: EstateSite, say: Say) -> None:
    if not isinstance(service, Seedable):
        if kind.example:
            return  # it has no data: the gateway
        raise HarnessError(f"{service.name} cannot be seeded; its kind has no `seed`")
    for part in kind.parts:  # services are seeded in parallel with the download of parts
        ensure(part)
    say(f"seeding {service.name}")
    service.seed(site.place)
    say(f"seeded {service.name}")


def _export(s3: S3, into: Path) -> None:
    """Copy every object of a store to `into`, one subfolder for each bucket."""
    store = client(s3)
    with asked(s3, "*", "cannot be listed"):
        names = [bucket.name for bucket in store.list_buckets()]
    for name in names:
        (into / name).mkdir(parents=True)
        with asked(s3, name, "cannot be copied"):
            for entry in store.list_objects(name, recursive=True):
                store.fget_object(name, str(entry.object_name), str(into / name / str(entry.object_name)))
