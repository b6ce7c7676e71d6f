from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.node import Site
from harness.substrate.embedded.substrate import Embedded
from tests.traffic.backend import Backend


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Site]:
    # Deeper than a socket's path may be: a run folder may be as well.
    embedded = Embedded(tmp_path / ("d" * 80) / "run", tmp_path / "logs")
    yield embedded.site("edge")
    embedded.sweep()


@pytest.fixture(scope="module")
def module_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("edge")
    embedded = Embedded(folder / "run", folder / "logs")
    yield embedded.site("edge")
    embedded.sweep()


@pytest.fixture
def primary() -> Iterator[Backend]:
    with Backend("primary") as backend:
        yield backend


@pytest.fixture
def dr() -> Iterator[Backend]:
    with Backend("dr") as backend:
        yield backend
