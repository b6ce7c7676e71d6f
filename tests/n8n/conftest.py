"""One seeded site for all tests of n8n."""

from __future__ import annotations

import secrets as random
from collections.abc import Iterator

import pytest

from harness.core.node import Address
from harness.core.service import S3, Place
from harness.n8n.app import N8n
from harness.postgres.server import connect, server_spec, sql_of
from harness.substrate.embedded import Embedded
from tests.n8n.local import Automation, fill

NO_STORE = S3(Address("127.0.0.1", 1), Address("127.0.0.1", 1), "env:NONE", "env:NONE")
SECRETS = ("postgres-superuser", "n8n-db", "n8n-key", "n8n-owner", "shop-token", "gateway-key")


@pytest.fixture(scope="session")
def automation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Automation]:
    home = tmp_path_factory.mktemp("n8n")
    substrate = Embedded(home / "run", home / "logs")
    secrets = {}
    for name in SECRETS:
        (home / name).write_text(random.token_hex(16) + "Aa1!")
        secrets[name] = f"file:{home / name}"
    try:
        site = substrate.site("primary")
        node = site.launch(server_spec(secrets=secrets))
        made = Automation(Place(site, sql_of(node, secrets["postgres-superuser"]), NO_STORE, secrets))
        N8n().seed(made.place)
        fill(made)
        with connect(made.place.sql) as connection:
            connection.execute("ALTER DATABASE n8n RENAME TO seeded")
        yield made
    finally:
        substrate.sweep()
