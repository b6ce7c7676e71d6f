"""Two database servers, on the primary site and on the DR site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from harness.postgres.dump import facts, open_snapshot
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.embedded.substrate import Embedded
from tests.postgres.attack import DATABASE, Attack, rows
from tests.servers import DatabaseServer, start_database


@pytest.fixture(scope="module")
def primary(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("primary"), tmp_path_factory.mktemp("primary"))


@pytest.fixture(scope="module")
def dr(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("dr"), tmp_path_factory.mktemp("dr"))


@pytest.fixture
def attack(dr: DatabaseServer) -> Iterator[Attack]:
    dr.execute("postgres", f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
    with open_snapshot(dr.sql, DATABASE) as snapshot:
        seen = facts(snapshot, "databases/0001")
    # In the volume of the server: all else of this machine is hidden from it, or read-only.
    proof = cast("FolderVolume", dr.site.volume("postgres")).root / "data" / "proof"
    yield Attack(dr, seen, proof)
    proof.unlink(missing_ok=True)
    dr.execute("postgres", f"DROP DATABASE IF EXISTS {DATABASE}")
    for (role,) in rows(dr, "postgres", "SELECT rolname FROM pg_roles WHERE rolname LIKE 'blackstart%'"):
        dr.execute("postgres", f"DROP ROLE {role}")
