"""The edge site, and the two backends between which traffic is switched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.node import Site
from harness.substrate.embedded.substrate import Embedded
from tests.servers import embedded
from tests.traffic.backend import Backend


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Site]:
    # A path longer than the limit of a Unix socket's path, which a run folder may have as well.
    with embedded(tmp_path / ("d" * 80)) as substrate:
        yield substrate.site("edge")


@pytest.fixture(scope="module")
def module_edge(substrate: Embedded) -> Site:
    return substrate.site("edge")


@pytest.fixture
def primary() -> Iterator[Backend]:
    with Backend("primary") as backend:
        yield backend


@pytest.fixture
def dr() -> Iterator[Backend]:
    with Backend("dr") as backend:
        yield backend
