"""An estate that is up: where its parts are, so that other commands can reach them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.node import Address
from harness.core.service import S3, Held, Sql
from harness.estate.secrets import Secrets
from harness.estate.site import EstateSite
from harness.repository.catalogue import Repository
from harness.repository.store.s3 import S3Store
from harness.substrate.embedded.substrate import Embedded
from harness.vault import read_text_secret

BUCKET = "backups"
LIVE = Path(".blackstart/live.json")


@dataclass(frozen=True, slots=True)
class Live:
    """Addresses are `host:port`. `site`: which site runs here; `held`: what a recovery holds back."""

    estate: str
    site: str
    run: str
    logs: str
    secrets: str
    sql: str
    s3: str
    offsite: str
    public: str
    names: str
    held: tuple[Held, ...] = ()

    def write(self, path: Path) -> None:
        """Write the file, 0600."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_live(path: Path) -> Live:
    """Return what `path` says; raises UsageError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data["held"] = tuple(Held(h["service"], tuple(h["actions"])) for h in data.get("held", ()))
        return Live(**data)
    except FileNotFoundError:
        raise UsageError(f"{path}: no estate is up here; start one with `blackstart up`, or name its file") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path}: not the file of an estate that is up ({error})") from None


def address(text: str) -> Address:
    """Return `host:port` as an address; raises UsageError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"{text!r}: not an address; write HOST:PORT")
    return Address(host, int(port))


def site_of(live: Live) -> EstateSite:
    """Return the running site as others see it. Nothing of it is owned here: do not sweep it."""
    secrets = Secrets(Path(live.secrets)).of(live.site)
    site = EstateSite(Embedded(Path(live.run), Path(live.logs)).site(live.site), secrets, {})
    sql, s3 = address(live.sql), address(live.s3)
    site.sql = Sql(sql, sql, "postgres", secrets["postgres-superuser"])
    site.s3 = S3(s3, s3, secrets["s3-access"], secrets["s3-secret"])
    return site


def repository_at(offsite: Address, secrets: Secrets, estate: str) -> Repository:
    """Return the repository of `estate` in the offsite store; raises UsageError when its keys are not there."""
    held = secrets.of("offsite")
    for name in ("s3-access", "s3-secret"):
        if name not in held:
            raise UsageError(f"{secrets.root}/offsite/{name}: not there; the offsite store needs its keys")
    keys = (read_text_secret(held["s3-access"]), read_text_secret(held["s3-secret"]))
    return Repository(S3Store.connect(offsite.host, offsite.port, *keys, BUCKET), estate)
