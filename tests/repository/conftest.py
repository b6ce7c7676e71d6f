"""A real store, and the same in memory; a repository in each; two recipients."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from harness.core.node import Node
from harness.repository.catalogue import Repository
from harness.repository.store import MemoryStore, ObjectStore, S3Store
from harness.s3.client import ensure_bucket
from harness.s3.server import s3_of, server_spec
from harness.substrate.embedded.substrate import Embedded
from tests.repository.local import ACCESS, BUCKET, SECRET, Launch, Recipients, store_at


@pytest.fixture(scope="session")
def recipients() -> Recipients:
    return Recipients()


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """Start a real store with a bucket; each by its own name."""
    home = tmp_path_factory.mktemp("offsite")
    substrate = Embedded(home / "run", home / "logs")
    nodes: list[Node] = []
    references = {}
    for name, value in (("s3-access", ACCESS), ("s3-secret", SECRET)):
        (home / name).write_text(value)
        references[name] = f"file:{home / name}"

    def start(name: str, limit_mb: int | None = None) -> Node:
        site = substrate.site(name)
        node = site.launch(server_spec(site, secrets=references, limit_mb=limit_mb))
        nodes.append(node)
        ensure_bucket(s3_of(node, references["s3-access"], references["s3-secret"]), BUCKET, versioning=False)
        return node

    yield start
    for node in nodes:
        node.kill()
    substrate.sweep()


@pytest.fixture(scope="session")
def real_store(launch: Launch) -> S3Store:
    return store_at(launch("offsite"))


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.programs)])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Each test with this runs against both."""
    if request.param == "memory":
        return MemoryStore()
    real: S3Store = request.getfixturevalue("real_store")
    return real


@pytest.fixture
def estate() -> str:
    return f"estate-{secrets.token_hex(4)}"


@pytest.fixture
def repository(store: ObjectStore, estate: str) -> Repository:
    return Repository(store, estate)
