from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.node import NodeSpec
from harness.substrate.kind.site import KindSite
from harness.substrate.kind.substrate import Kind
from tests.cases.production import laptop, operator, there
from tests.kubernetes.clusters_under_test import ClustersUnderTest
from tests.substrate.conftest import TOKEN
from tests.substrate.substrates_under_test import server

__all__ = ["laptop", "operator", "there"]


@pytest.fixture(scope="package")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClustersUnderTest]:
    home = tmp_path_factory.mktemp("kind")
    kind = Kind(home / "run", home / "logs", "cold", images=("blackstart",))
    yield ClustersUnderTest(kind)
    kind.sweep()


@pytest.fixture
def tested(clusters: ClustersUnderTest) -> Iterator[ClustersUnderTest]:
    yield clusters
    clusters.empty()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def spec(tested: ClustersUnderTest, token: Path) -> NodeSpec:
    return server(tested, token)


@pytest.fixture
def site(tested: ClustersUnderTest) -> KindSite:
    return tested.substrate.cluster_site("primary")
