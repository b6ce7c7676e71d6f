"""Template of the example estate, built once and cached by content; every drill uses a copy."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg.sql

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.core.node import Stoppable, Substrate
from harness.core.parallel import in_parallel
from harness.core.service import S3, Seedable, Service
from harness.declaration import ServiceKind, Surroundings
from harness.drill.strike import Identity
from harness.estate.config import Config
from harness.estate.kinds import EXAMPLES
from harness.estate.registry import build_services, first_bucket, kind_of
from harness.estate.secrets import Secrets, add_service_secrets, make_secrets
from harness.estate.site import EstateSite
from harness.parts.cache import alone, cache_home
from harness.parts.install import ensure
from harness.parts.places import CODE
from harness.patience import PATIENCE
from harness.postgres.bulk import seed_bulk
from harness.postgres.identity import databases, system_facts
from harness.postgres.server import connect
from harness.s3.client import asked, client, ensure_bucket, tag
from harness.substrate.embedded.start_journal import sweep
from harness.substrate.embedded.substrate import Embedded

STORE = "objects"  # the volume of the object store
# Files that determine the content of a prepared estate: a change in one of them rebuilds it.
SEEDS = (
    "notifier/schema.sql",
    "harness/drill/template.py",
    "harness/estate/secrets.py",
    *(f"harness/postgres/{name}.py" for name in ("server", "bulk")),
    *(f"harness/services/{kind.name}/{name}.py" for kind in EXAMPLES for name in kind.seeds),
    "harness/s3/server.py",
    "harness/parts/locks",
)
IDENTITY_FILE = "identity.json"  # written last
UNUSED = 14.0  # days
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Template:
    """A prepared estate: volumes of the primary, secrets, identity."""

    path: Path

    @property
    def volumes(self) -> Path:
        """Folder of the primary's volumes."""
        return self.path / "volumes"

    @property
    def objects(self) -> Path:
        """Folder of the primary's objects, one subfolder for each bucket."""
        return self.path / "objects"

    @property
    def identity(self) -> Identity:
        """Identity of a primary that is made from this template."""
        return Identity(**json.loads((self.path / IDENTITY_FILE).read_text(encoding="utf-8")))


def source_digest(names: Iterable[str] = SEEDS) -> str:
    """Return a digest of the code and locks that determine an estate, hex."""
    digest = hashlib.sha256()
    for name in names:
        path = CODE / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(CODE)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def digest_of(*facts: object) -> str:
    """Return the cache key of content made from `facts`, hex."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def prepare(config: Config, say: Say = lambda _line: None) -> Template:
    """Return the prepared estate for `config`, built now if it is not in the cache. Raises HarnessError.

    All example data is seeded once, into one base estate. Estates with fewer services or other sizes are derived
    from a copy of it in seconds.
    """
    name = config.estate.name
    base = _cached(digest_of("base", name, source_digest()), lambda at: _make_base(at, name, say), say)
    return _cached(_key(config), lambda at: _derive(at, base, config), say)


def is_prepared(config: Config) -> bool:
    """Return whether the estate for `config` is in the cache."""
    return (_home() / _key(config) / IDENTITY_FILE).exists()


def _key(config: Config) -> str:
    services = {n: table.model_dump(mode="json", exclude={"command"}) for n, table in config.services.items()}
    return digest_of("derived", config.estate.name, source_digest(), services, config.data.bulk_mb)


def _home() -> Path:
    return cache_home() / "estates"


def _cached(key: str, make: Callable[[Path], None], say: Say) -> Template:
    home = _home()
    final = home / key
    with alone(home / f"{key}.lock"):
        there = (final / IDENTITY_FILE).exists()
        if not there:
            say(f"preparing the example estate {key}")
            building = home / f".{key}.building"
            sweep(building / "run")  # processes that a killed preparation left running
            shutil.rmtree(building, ignore_errors=True)
            shutil.rmtree(final, ignore_errors=True)
            building.mkdir(mode=0o700)
            make(building)
            building.rename(final)
        (final / IDENTITY_FILE).touch()  # its mtime is the time of the last use
    if not there:
        drop_unused(home)
    return Template(final)


def drop_unused(home: Path, days: float = UNUSED) -> None:
    """Remove the prepared estates in `home` that were not used for `days` days, by any checkout."""
    oldest = SYSTEM.wall().timestamp() - days * 86_400
    for known in home.glob(f"[!.]*/{IDENTITY_FILE}"):
        with alone(home / f"{known.parent.name}.lock"), suppress(FileNotFoundError):
            if known.stat().st_mtime < oldest:
                known.unlink()  # first: an estate without this file counts as incomplete
                shutil.rmtree(known.parent)


def _make_base(building: Path, name: str, say: Say) -> None:
    tables = [kind.table(kind=kind.name) for kind in EXAMPLES]
    services = [kind.build(kind.name, table, Surroundings()) for kind, table in zip(EXAMPLES, tables, strict=True)]
    specs = [s for kind, table in zip(EXAMPLES, tables, strict=True) for s in kind.secrets(kind.name, table)]
    bucket = first_bucket(services)
    with _primary(building, make_secrets(building / "secrets", specs)) as site:
        ensure_bucket(site.place.s3, bucket)
        tag(site.place.s3, bucket, name)
        calls = zip(EXAMPLES, services, strict=True)
        in_parallel({s.name: partial(_seed, s, kind, site, say) for kind, s in calls if isinstance(s, Seedable)})
        _export(site.place.s3, building / "objects")
        identity = Identity(system_facts(site.place.sql).identifier, bucket, name)
    text = json.dumps({"system": identity.system, "bucket": identity.bucket, "tag": identity.tag})
    (building / IDENTITY_FILE).write_text(text, encoding="utf-8")


def _derive(building: Path, base: Template, config: Config) -> None:
    shutil.copytree(base.path / "secrets", building / "secrets")
    shutil.copytree(base.objects, building / "objects")
    secrets = Secrets(building / "secrets")
    services = build_services(config)
    wanted = {database for s in services for database in s.sources().databases}
    own = [service for service in services if not kind_of(config, service.name).example]
    for name, table in config.services.items():
        add_service_secrets(secrets, kind_of(config, name).secrets(name, table))
    with _primary(building, secrets, base) as site:
        sql = site.place.sql
        for database in set(databases(sql)) - wanted:
            with connect(sql) as connection:
                connection.execute(psycopg.sql.SQL("DROP DATABASE {}").format(psycopg.sql.Identifier(database)))
        for service in own:
            _seed(service, kind_of(config, service.name), site, lambda _line: None)
        if config.data.bulk_mb:
            seed_bulk(site.site, sql, megabytes=config.data.bulk_mb)
    shutil.copy2(base.path / IDENTITY_FILE, building / IDENTITY_FILE)


@contextmanager
def _primary(building: Path, secrets: Secrets, base: Template | None = None) -> Iterator[EstateSite]:
    """Yield a primary site; after a block without error it is shut down cleanly and its volumes are kept."""
    for part in ("postgres", "seaweedfs"):
        ensure(part)
    substrate = Embedded(building / "run", building / "logs")
    site = EstateSite(substrate.site("primary"), secrets.of("primary"), {})
    try:
        for volume in sorted(base.volumes.iterdir()) if base else ():
            substrate.import_volume("primary", volume.name, volume)
        site.activate()
        yield site
        with connect(site.place.sql) as connection:
            connection.execute("CHECKPOINT")
        for node in site.nodes.values():
            if isinstance(node, Stoppable):
                node.stop(PATIENCE.node_stop)
        (building / "run" / "sites" / "primary" / "volumes").rename(building / "volumes")
    finally:
        substrate.sweep()


def _seed(service: Service, kind: ServiceKind, site: EstateSite, say: Say) -> None:
    if not isinstance(service, Seedable):
        raise HarnessError(f"{service.name} cannot be seeded; its kind has no `seed`")
    for part in kind.parts:  # services are seeded in parallel with the download of parts
        ensure(part)
    say(f"seeding {service.name}")
    service.seed(site.place)
    say(f"seeded {service.name}")


def clone(template: Template, run: Path, substrate: Substrate) -> Secrets:
    """Copy secrets and volumes of a template into the run folder `run`; return the copied secrets.

    Object stores of other substrates use another file format: `load_objects` fills them.
    """
    shutil.copytree(template.path / "secrets", run / "secrets")
    volumes = [v for v in sorted(template.volumes.iterdir()) if v.name != STORE or isinstance(substrate, Embedded)]
    in_parallel({v.name: partial(substrate.import_volume, "primary", v.name, v) for v in volumes})
    return Secrets(run / "secrets")


def load_objects(template: Template, s3: S3) -> None:
    """Load the seeded objects and the estate's tag into an empty primary store; raises HarnessError."""
    store, identity = client(s3), template.identity
    with asked(s3, identity.bucket, "cannot be read"):
        if store.bucket_exists(identity.bucket):
            return
    for bucket in sorted(template.objects.iterdir()):
        ensure_bucket(s3, bucket.name)
        with asked(s3, bucket.name, "cannot be filled"):
            for file in sorted(path for path in bucket.rglob("*") if path.is_file()):
                store.fput_object(bucket.name, file.relative_to(bucket).as_posix(), str(file))
    tag(s3, identity.bucket, identity.tag)


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
