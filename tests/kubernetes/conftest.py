from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.node import NodeSpec
from harness.substrate.kind.site import KindSite
from harness.substrate.kind.substrate import Kind
from tests.kubernetes.bench import KindBench
from tests.substrate.benches import server
from tests.substrate.conftest import TOKEN


@pytest.fixture(scope="package")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KindBench]:
    home = tmp_path_factory.mktemp("kind")
    kind = Kind(home / "run", home / "logs", "cold", images=("blackstart",))
    yield KindBench(kind)
    kind.sweep()


@pytest.fixture
def bench(clusters: KindBench) -> Iterator[KindBench]:
    yield clusters
    clusters.empty()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def spec(bench: KindBench, token: Path) -> NodeSpec:
    return server(bench, token)


@pytest.fixture
def site(bench: KindBench) -> KindSite:
    return bench.substrate.cluster_site("primary")
