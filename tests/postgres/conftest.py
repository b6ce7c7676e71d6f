"""Two database servers, on the primary site and on the DR site."""

from __future__ import annotations

import pytest

from harness.substrate.embedded.substrate import Embedded
from tests.servers import DatabaseServer, start_database


@pytest.fixture(scope="module")
def primary(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("primary"), tmp_path_factory.mktemp("primary"))


@pytest.fixture(scope="module")
def dr(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("dr"), tmp_path_factory.mktemp("dr"))
