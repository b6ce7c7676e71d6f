"""Two real servers, each the only one of its site, as on the primary and on DR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.node import Node, Site
from harness.core.service import Sql
from harness.postgres.server import SUPERUSER_PASSWORD, connect, server_spec, sql_of
from harness.substrate.embedded.substrate import Embedded


@dataclass(frozen=True, slots=True)
class Server:
    site: Site
    node: Node
    sql: Sql

    def execute(self, database: str, *statements: str) -> None:
        with connect(self.sql, database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def one(self, database: str, query: str) -> object:
        with connect(self.sql, database) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture(scope="session")
def substrate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    home = tmp_path_factory.mktemp("postgres")
    made = Embedded(home / "run", home / "logs")
    yield made
    made.sweep()


def launch(substrate: Embedded, name: str, secrets: Path) -> Server:
    secret = secrets / f"{name}-superuser"
    secret.write_text(f"superuser of {name}\n")
    reference = f"file:{secret}"
    site = substrate.site(name)
    node = site.launch(server_spec(site, secrets={SUPERUSER_PASSWORD: reference}))
    return Server(site, node, sql_of(node, reference))


@pytest.fixture(scope="session")
def primary(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return launch(substrate, "primary", tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="session")
def dr(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return launch(substrate, "dr", tmp_path_factory.mktemp("secrets"))
