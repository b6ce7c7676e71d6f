"""An existing site: running servers that are reached through a declaration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.estate.config import Config, load_config
from harness.estate.existing import ExistingEstateSite, connect_site
from harness.estate.secrets import Secrets
from harness.estate.site import EstateSite
from harness.s3.client import ensure_bucket, tag
from harness.substrate.embedded.substrate import Embedded
from tests.restore_test.signed import signed

BUCKET, TAG = "notifications", "example-shop-dr"
ESTATE = """
[estate]
name = "example-shop"
zone = "shop.test"
[sites.primary]
edge = "127.0.0.2"
[sites.dr]
edge = "127.0.0.3"
[services.notification]
kind = "notification"
[services.gateway]
kind = "gateway"
needs = ["notification"]
"""


@dataclass(frozen=True, slots=True)
class ExistingServers:
    """The servers, the secrets of their site, a folder for declarations, and a substrate for one-shot tasks."""

    site: EstateSite
    secrets: Secrets
    folder: Path
    local: Embedded

    def declare(self, **more: str) -> Config:
        """Return a declaration of the site, with further lines for its table."""
        place = self.site.place
        lines = [f'sql = "{place.sql.outside}"', f's3 = "{place.s3.outside}"', 'gateway = "127.0.0.1:9"']
        lines += [f'secrets = "{self.secrets.root / "dr"}"', *(f"{key} = {value}" for key, value in more.items())]
        file = self.folder / "estate.toml"
        file.write_text(ESTATE + "\n[existing.dr]\n" + "\n".join(lines) + "\n")
        return load_config(file)

    def estate(self, **more: str) -> ExistingEstateSite:
        """Return the site, connected through a declaration."""
        return connect_site(self.declare(**more), "dr", self.local, "recipient.pem")

    def list_targets(self, **identity: str) -> Path:
        """Write and sign an allowlist with one target and return its path; the pinned key is beside it."""
        file = self.folder / "drill-targets.toml"
        lines = [f"{key} = {value}" if key == "until" else f'{key} = "{value}"' for key, value in identity.items()]
        signed(file, "\n".join(("[[target]]", *lines, "")))
        return file


def tagged(site: EstateSite) -> None:
    """Tag the bucket of a site as a drill target."""
    ensure_bucket(site.place.s3, BUCKET)
    tag(site.place.s3, BUCKET, TAG)


Declared = Callable[[], ExistingServers]
