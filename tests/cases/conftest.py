"""The estate of the case tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import MissingPart
from harness.physical.programs import programs_of
from harness.postgres.replication.connection import OLDEST
from tests.cases.estate import CaseEstate, CaseServers, case_estate, case_servers
from tests.cases.majors import asked_major, serving
from tests.cases.pair import pair
from tests.cases.production import laptop, operator, there

__all__ = ["case_home", "estate", "laptop", "operator", "pair", "there"]


@pytest.fixture(scope="session")
def case_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseServers]:
    with serving(asked_major()), case_servers(tmp_path_factory.mktemp("cases")) as shared:
        yield shared


@pytest.fixture
def estate(case_home: CaseServers, tmp_path: Path) -> Iterator[CaseEstate]:
    with case_estate(case_home, tmp_path) as made:
        yield made


@pytest.fixture
def physical(estate: CaseEstate) -> CaseEstate:
    """An estate with base backups, and 100 rows in the database `app`."""
    if asked_major() < OLDEST:
        pytest.skip(f"physical backups need PostgreSQL {OLDEST}")
    try:
        programs_of(asked_major())
    except MissingPart as error:  # some majors come as a server alone
        pytest.skip(str(error))
    estate.backup["mode"] = "physical"
    estate.declare("app")
    estate.create("app", "CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 100) g")
    return estate
