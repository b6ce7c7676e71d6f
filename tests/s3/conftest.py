"""Object stores, each on a separate site."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.substrate.embedded.substrate import Embedded
from tests.servers import Store, start_store

Launch = Callable[..., Store]


@pytest.fixture(scope="module")
def launch(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """Return a function that starts a store on the site of that name."""

    def start(name: str, limit_mb: int | None = None) -> Store:
        return start_store(substrate.site(name), tmp_path_factory.mktemp(name), limit_mb=limit_mb)

    return start


@pytest.fixture(scope="module")
def primary(launch: Launch) -> Store:
    return launch("primary")


@pytest.fixture(scope="module")
def dr(launch: Launch) -> Store:
    return launch("dr")
