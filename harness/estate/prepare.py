"""The example estate, made once and kept in the cache by content; every drill works on a copy."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.node import Stoppable
from harness.core.service import Seedable, Service
from harness.estate.config import Config
from harness.estate.parallel import in_parallel
from harness.estate.registry import build_services
from harness.estate.secrets import Secrets, make_secrets
from harness.estate.site import EstateSite
from harness.estate.strike import Identity
from harness.parts.cache import cache_home
from harness.postgres.bulk import seed_bulk
from harness.postgres.identity import system_facts
from harness.postgres.server import connect
from harness.s3.client import ensure_bucket, tag
from harness.substrate.embedded import Embedded

TAGGED = "notifications"  # the bucket whose tag says which estate it belongs to
KINDS_WITH_DATA = ("odoo", "n8n", "notification")
SEEDS = ("estate/prepare.py", "estate/secrets.py", "odoo", "n8n", "notification", "postgres", "s3", "parts/locks")
STOP = 30.0  # seconds given to a program to end in good order
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Template:
    """A prepared estate: volumes of its primary, secrets, identity."""

    path: Path

    @property
    def volumes(self) -> Path:
        """Folder of the primary's volumes."""
        return self.path / "volumes"

    @property
    def identity(self) -> Identity:
        """What the primary made from it is known by."""
        return Identity(**json.loads((self.path / "identity.json").read_text(encoding="utf-8")))


def source_digest(names: Iterable[str] = SEEDS) -> str:
    """Return a digest of the code and locks that make an estate, hex."""
    here = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for name in names:
        path = here / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(here)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def key_of(config: Config, bulk_mb: int, kinds: Iterable[str]) -> str:
    """Return the content key of an estate: its services, its size, and the code that seeds it."""
    services = {n: t.model_dump(mode="json") for n, t in config.services.items() if t.kind in kinds}
    text = json.dumps([services, bulk_mb, config.estate.name, source_digest()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def prepare(config: Config, say: Say = lambda _line: None) -> Template:
    """Return the prepared estate for `config`, made now if it is not in the cache."""
    return _cached(key_of(config, config.data.bulk_mb, ("odoo", "n8n", "notification", "http")), _make, config, say)


def _cached(key: str, make: Callable[[Path, Config, Say], None], config: Config, say: Say) -> Template:
    home = cache_home() / "estates"
    home.mkdir(parents=True, exist_ok=True)
    final = home / key
    with _locked(home / f"{key}.lock"):
        if not (final / "identity.json").exists():
            say(f"preparing the example estate {key}")
            building = home / f".{key}.building"
            shutil.rmtree(building, ignore_errors=True)
            shutil.rmtree(final, ignore_errors=True)
            building.mkdir(mode=0o700)
            make(building, config, say)
            building.rename(final)
    return Template(final)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(building: Path, config: Config, say: Say) -> None:
    services = build_services(config)
    names = tuple(s.name for s in services)
    secrets = make_secrets(building / "secrets", names)
    substrate = Embedded(building / "run", building / "logs")
    site = EstateSite(substrate.site("primary"), secrets.of("primary"), {})
    try:
        site.activate()
        ensure_bucket(site.place.s3, TAGGED)
        tag(site.place.s3, TAGGED, config.estate.name)
        calls = {s.name: lambda s=s: _seed(s, site, say) for s in services if isinstance(s, Seedable)}  # type: ignore[misc]
        if config.data.bulk_mb:
            calls["bulk"] = lambda: seed_bulk(site.site, site.place.sql, megabytes=config.data.bulk_mb)
        in_parallel(calls)
        with connect(site.place.sql) as connection:
            connection.execute("CHECKPOINT")
        identity = Identity(system_facts(site.place.sql).identifier, TAGGED, config.estate.name)
        for node in site.nodes.values():
            if isinstance(node, Stoppable):
                node.stop(STOP)
        (building / "run" / "sites" / "primary" / "volumes").rename(building / "volumes")
    finally:
        substrate.sweep()
    text = json.dumps({"system": identity.system, "bucket": identity.bucket, "tag": identity.tag})
    (building / "identity.json").write_text(text, encoding="utf-8")


def _seed(service: Service, site: EstateSite, say: Say) -> None:
    if not isinstance(service, Seedable):
        raise HarnessError(f"{service.name} cannot be seeded")
    say(f"seeding {service.name}")
    service.seed(site.place)
    say(f"seeded {service.name}")


def clone(template: Template, run: Path, substrate: Embedded) -> Secrets:
    """Copy secrets and volumes of a template into a run of its own; return the copied secrets."""
    shutil.copytree(template.path / "secrets", run / "secrets")
    substrate.site("primary")
    for volume in sorted(template.volumes.iterdir()):
        substrate.import_volume("primary", volume.name, volume)
    return Secrets(run / "secrets")
