"""Template of an estate, built once and cached by content; every drill uses a copy."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

from harness.core.clock import SYSTEM
from harness.core.node import Substrate
from harness.core.parallel import in_parallel
from harness.core.service import S3
from harness.drill.seed import IDENTITY_FILE, Say, derive, examples, make_base
from harness.drill.strike import Identity
from harness.estate.config import Config
from harness.estate.kinds import EXAMPLES
from harness.estate.secrets import Secrets
from harness.parts.cache import alone, cache_home
from harness.parts.places import CODE
from harness.s3.client import asked, client, ensure_bucket, tag
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.sweep import sweep

STORE = "objects"  # the volume of the object store
# Files that determine the content of a prepared estate: a change in one of them rebuilds it.
SEEDS = (
    "notifier/schema.sql",
    "harness/drill/template.py",
    "harness/drill/seed.py",
    "harness/estate/secrets.py",
    *(f"harness/postgres/{name}.py" for name in ("server", "bulk")),
    *(f"harness/services/{kind.name}/{name}.py" for kind in EXAMPLES for name in kind.seeds),
    "harness/s3/server.py",
    "harness/parts/locks",
)
UNUSED = 14.0  # days


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

    Its example services are seeded once, into a base that other estates share; a base with more of them than are
    declared serves as well. The estate is derived from a copy of it in seconds.
    """
    return _cached(_key(config), lambda at: derive(at, _base_for(config, say).path, config, say), say)


def _base_for(config: Config, say: Say) -> Template:
    """Return the base with the declared example services and the fewest others: a cached one, else a new one."""
    name, wanted = config.estate.name, set(examples(config))
    forbidden = {table.kind for table in config.services.values()} - wanted
    optional = sorted({kind.name for kind in EXAMPLES} - wanted - forbidden)
    choices = [(*wanted, *more) for count in range(len(optional) + 1) for more in combinations(optional, count)]
    keys = {digest_of("base", name, source_digest(), sorted(kinds)): tuple(sorted(kinds)) for kinds in choices}
    key = next((key for key in keys if (_home() / key / IDENTITY_FILE).exists()), next(iter(keys)))
    return _cached(key, lambda at: make_base(at, name, keys[key], say), say)


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
            say(f"preparing the estate {key}")
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
