"""A database server, a repository and its recipients."""

from __future__ import annotations

import pytest

from harness.substrate.embedded.substrate import Embedded
from tests.repository.store_servers import estate, launch, offsite, real_store, recipients, repository, store
from tests.servers import DatabaseServer, start_database

__all__ = ["estate", "launch", "offsite", "real_store", "recipients", "repository", "store"]


@pytest.fixture(scope="module")
def primary(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("primary"), tmp_path_factory.mktemp("primary"))
