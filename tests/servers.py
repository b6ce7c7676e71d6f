"""Real PostgreSQL servers and object stores for tests, as processes of an embedded substrate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from harness.core.node import Node, Site
from harness.core.service import S3, Sql
from harness.postgres import server as postgres
from harness.s3 import server as s3
from harness.s3.client import client
from harness.substrate.embedded.substrate import Embedded


@contextmanager
def embedded(home: Path) -> Iterator[Embedded]:
    """Yield an embedded substrate with its folders in `home`; everything it started is ended afterwards."""
    made = Embedded(home / "run", home / "logs")
    try:
        yield made
    finally:
        made.sweep()


@pytest.fixture(scope="module")
def substrate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("substrate")) as made:
        yield made


def secret_files(folder: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Write each value into a file of `folder`, and return the references by name."""
    for name, value in values.items():
        (folder / name).write_text(value + "\n")
    return {name: f"file:{folder / name}" for name in values}


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    site: Site
    node: Node
    sql: Sql

    def execute(self, database: str, *statements: str) -> None:
        with postgres.connect(self.sql, database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def one(self, database: str, query: str) -> object:
        """Return the only value of a query's result."""
        with postgres.connect(self.sql, database) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def start_database(site: Site, folder: Path) -> DatabaseServer:
    """Start a database server; its password is written into `folder`."""
    secrets = secret_files(folder, {postgres.SUPERUSER_PASSWORD: f"superuser of {site.name}"})
    node = site.launch(postgres.server_spec(site, secrets=secrets))
    return DatabaseServer(site, node, postgres.sql_of(node, secrets[postgres.SUPERUSER_PASSWORD]))


@dataclass(frozen=True, slots=True)
class Store:
    site: Site
    node: Node
    s3: S3
    secrets: dict[str, str]

    def put(self, bucket: str, key: str, data: bytes) -> None:
        client(self.s3).put_object(bucket, key, BytesIO(data), len(data))

    def get(self, bucket: str, key: str) -> bytes:
        answer = client(self.s3).get_object(bucket, key)
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()


def start_store(site: Site, folder: Path, name: str = "objects", limit_mb: int | None = None) -> Store:
    """Start an object store; its keys are written into `folder`."""
    secrets = secret_files(folder, {key: f"{site.name}-{key}" for key in (s3.ACCESS, s3.SECRET)})
    node = site.launch(s3.server_spec(site, name, secrets=secrets, limit_mb=limit_mb))
    return Store(site, node, s3.s3_of(node, secrets[s3.ACCESS], secrets[s3.SECRET]), secrets)
