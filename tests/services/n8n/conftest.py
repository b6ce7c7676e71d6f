"""A seeded n8n for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.postgres.server import connect
from tests.example_estates import seeded_primary
from tests.services.n8n.n8n_server import Automation, fill


@pytest.fixture(scope="session")
def automation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Automation]:
    with seeded_primary("automation", tmp_path_factory.mktemp("n8n")) as place:
        made = Automation(place)
        fill(made)
        with connect(place.sql) as connection:
            connection.execute("ALTER DATABASE n8n RENAME TO seeded")
        yield made
