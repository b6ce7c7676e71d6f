"""A restore test on the DR site of the estate in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.evidence.folder import RecordFolder
from harness.restore_test.restore_test import RestoreTest
from tests.memory_drill import header
from tests.memory_estate import BUCKET, NAME, MemoryEstate
from tests.traffic.backend import Backend


@pytest.fixture
def gateway() -> Iterator[Backend]:
    with Backend("dr") as running:
        yield running


def made(estate: MemoryEstate, gateway: Backend, folder: Path) -> RestoreTest:
    record = RecordFolder.make(folder, "restore test in memory")
    return RestoreTest(header("restore test"), estate.connections, lambda: gateway.address, record, estate.journal)


def require_cleared(estate: MemoryEstate) -> None:
    """Assert that nothing of the restore is on the DR site."""
    server, nodes = estate.servers.postgres["dr"], {n.spec.name: n.alive for n in estate.fake.site("dr").nodes}
    assert (server.databases, server.roles) == ({}, {"postgres"})
    assert BUCKET not in estate.servers.objects["dr"].buckets
    assert not estate.fake.site("dr").volume(NAME).files
    assert not nodes.get(NAME)
