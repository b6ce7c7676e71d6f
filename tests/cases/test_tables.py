"""A database with thousands of tables: restored and compared, in little memory, or refused before anything is done."""

from __future__ import annotations

import re
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest

from harness.core.errors import RestoreFailed
from harness.postgres import server
from harness.postgres.restoring.database import TEXTS
from harness.postgres.restoring.toc import read_contents
from tests.cases.estate import CaseEstate, other_server
from tests.postgres_archive import Made, archive

pytestmark = [pytest.mark.cases, pytest.mark.night]
ROWS = 3
FILL = """
CREATE PROCEDURE fill(count int) LANGUAGE plpgsql AS $$ BEGIN
FOR i IN 1..count LOOP
    EXECUTE format('CREATE TABLE t_%s AS SELECT n::int AS n FROM generate_series(1, 3) n', i);
    IF i % 3 = 0 THEN
        EXECUTE format('CREATE SEQUENCE s_%s START %s', i, i);
    END IF;
END LOOP; END $$
"""
REFUSED = (
    "it has room for locks on 200 tables, and the comparison locks 300; "
    "set its max_locks_per_transaction to 15 or more and restart it; nothing was changed"
)
MIB = 1 << 20


def wide(estate: CaseEstate, tables: int) -> None:
    estate.create("wide", FILL, f"CALL fill({tables})", "DROP PROCEDURE fill")
    estate.back_up()


def test_2000_tables_come_back(estate: CaseEstate) -> None:
    wide(estate, 2000)
    assert estate.restore().rows == 2000 * ROWS
    assert estate.value("wide", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 2000
    assert estate.value("wide", "SELECT last_value FROM s_1998") == 1998


def test_a_server_without_room_for_the_locks_is_refused_before_anything_is_restored(
    estate: CaseEstate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide(estate, 300)
    own = ("max_locks_per_transaction=10", "max_connections=20")
    monkeypatch.setattr(server, "SETTINGS", (*server.SETTINGS, *own))
    with other_server(estate, "dr", tmp_path):
        with pytest.raises(RestoreFailed, match=re.escape(REFUSED)):
            estate.restore()
        assert estate.rows("postgres", "SELECT FROM pg_database WHERE datname = 'wide'") == []


def test_what_a_dump_contains_is_listed_in_little_memory() -> None:
    """Definitions of tables and statistics are most of it; they are not kept."""
    text = "x" * 1000
    dump = archive(*(Made("TABLE" if at % 2 else "STATISTICS DATA", f"t_{at}", text, "public") for at in range(40000)))
    tracemalloc.start()
    entries = read_contents("it", BytesIO(dump), TEXTS)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(entries) == 40000
    assert most < 20 * MIB
