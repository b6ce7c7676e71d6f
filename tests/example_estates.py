"""Example estates as the drills prepare them, for tests of their services: seeded once, copied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.node import Address
from harness.core.service import S3, Place
from harness.drill.template import clone, prepare
from harness.estate.config import load_config
from harness.postgres.server import server_spec, sql_of
from tests.servers import embedded

ESTATES = Path(__file__).resolve().parents[1] / "features" / "estates"
NO_STORE = S3(Address("127.0.0.1", 1), Address("127.0.0.1", 1), "env:NONE", "env:NONE")


@contextmanager
def seeded_primary(estate: str, home: Path) -> Iterator[Place]:
    """Yield the primary site of an estate in features/estates, by its file name; only its database server runs."""
    with embedded(home) as substrate:
        secrets = clone(prepare(load_config(ESTATES / f"{estate}.toml")), substrate.run, substrate).of("primary")
        site = substrate.site("primary")
        node = site.launch(server_spec(site, secrets=secrets))
        yield Place(site, sql_of(node, secrets["postgres-superuser"]), NO_STORE, secrets)
