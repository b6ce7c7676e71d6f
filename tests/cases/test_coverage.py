"""Everything that is declared or found on the primary is in the backup, or is named as not covered."""

from __future__ import annotations

import pytest

from tests.cases.estate import CaseEstate

pytestmark = [pytest.mark.cases, pytest.mark.programs]


def test_a_database_goes_to_dr_and_back_unchanged(estate: CaseEstate) -> None:
    estate.create("app", "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1), (2)")
    estate.declare("app")
    estate.back_up()
    assert estate.restore().rows == 2
    assert estate.value("app", "SELECT count(*) FROM orders") == 2
