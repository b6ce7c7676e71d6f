"""A logical backup is restored onto a newer major version of PostgreSQL, and the record says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.estate import CaseEstate, other_server
from tests.cases.majors import OWN, asked_major, serving

pytestmark = [pytest.mark.cases, pytest.mark.night]
OLDER = 15


@pytest.mark.skipif(asked_major() != OWN, reason="one pair of versions is enough")
def test_an_older_source_is_restored_onto_a_newer_target(estate: CaseEstate, tmp_path: Path) -> None:
    with serving(OLDER), other_server(estate, "primary", tmp_path):
        estate.run("postgres", "CREATE ROLE app LOGIN PASSWORD 'app'", "CREATE ROLE reader", "GRANT reader TO app")
        estate.run("postgres", "ALTER ROLE app SET work_mem = '7MB'", "ALTER ROLE app SET force_parallel_mode = on")
        estate.create("shop", "CREATE TABLE t AS SELECT n, n::text AS v FROM generate_series(1, 100) n")
        estate.run("shop", "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t", "ALTER TABLE t OWNER TO app")
        estate.back_up()
        restored = estate.restore()
        assert estate.value("shop", "SELECT n FROM m") == 100
        assert restored.findings == ()
        onto, dropped = restored.notes
        assert onto.startswith(f"restored onto PostgreSQL {OWN}.")
        assert dropped == f"setting force_parallel_mode of role app: PostgreSQL {OWN} does not know it"
