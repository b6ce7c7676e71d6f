"""Real stores on three sites, as for primary, DR and offsite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from harness.core.node import Node, Site
from harness.core.service import S3
from harness.s3.client import client
from harness.s3.server import s3_of, server_spec
from harness.substrate.embedded.substrate import Embedded


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


Launch = Callable[..., Store]


@pytest.fixture(scope="session")
def substrate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    home = tmp_path_factory.mktemp("stores")
    made = Embedded(home / "run", home / "logs")
    yield made
    made.sweep()


@pytest.fixture(scope="session")
def launch(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    launched: list[Node] = []

    def start(name: str, node: str = "objects", limit_mb: int | None = None) -> Store:
        folder: Path = tmp_path_factory.mktemp(f"keys-{name}")
        secrets = {}
        for key in ("s3-access", "s3-secret"):
            (folder / key).write_text(f"{name}-{key}")
            secrets[key] = f"file:{folder / key}"
        site = substrate.site(name)
        began = site.launch(server_spec(site, node, secrets=secrets, limit_mb=limit_mb))
        launched.append(began)
        return Store(site, began, s3_of(began, secrets["s3-access"], secrets["s3-secret"]), secrets)

    yield start
    for store in launched:
        store.kill()


@pytest.fixture(scope="session")
def primary(launch: Launch) -> Store:
    return launch("primary")


@pytest.fixture(scope="session")
def dr(launch: Launch) -> Store:
    return launch("dr")
