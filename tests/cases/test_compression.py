"""Tables whose columns are compressed by lz4, restored onto a server that was built without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.service import Sql
from harness.postgres.contents import abilities
from harness.postgres.roles import check
from harness.recovery import restore
from tests.cases.estate import CaseEstate, other_server
from tests.cases.majors import OWN, asked_major, debian_programs, npm_programs, served_by

pytestmark = [
    pytest.mark.cases,
    pytest.mark.night,
    pytest.mark.skipif(asked_major() != OWN, reason="these servers have majors of their own"),
]
NOTE = "database app: this server was built without lz4, its own compression is used: TABLE public.t, TABLE public.u"
SETTING = "setting default_toast_compression of role ALL: this server was built without lz4"
SHOWN = "SELECT n, length(v), w FROM t ORDER BY 1"


@pytest.fixture
def source(estate: CaseEstate, tmp_path: Path) -> Iterator[CaseEstate]:
    """The estate with a primary of Debian's PostgreSQL 15, which knows lz4."""
    with served_by(debian_programs(), 15), other_server(estate, "primary", tmp_path):
        estate.create(
            "app",
            "CREATE TABLE t (n int, v text COMPRESSION lz4, w text COMPRESSION pglz DEFAULT 'COMPRESSION lz4;')",
            "INSERT INTO t SELECT g, repeat('abc', 9000) FROM generate_series(1, 9) g",
            "CREATE TABLE u (v text[] COMPRESSION lz4) PARTITION BY LIST (v)",
            "ALTER DATABASE app SET default_toast_compression = 'lz4'",
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '\n"
            "ALTER TABLE ONLY t ALTER COLUMN v SET COMPRESSION lz4;\n' $$",
        )
        estate.back_up()
        yield estate


@pytest.fixture
def asked_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server is asked whether it knows lz4 at the restore of the dumps, and at no other place."""
    asked, has_lz4 = list[Sql](), abilities.has_lz4

    def asking(sql: Sql) -> bool:
        asked.append(sql)
        return has_lz4(sql)

    for where in (abilities, check, restore):
        monkeypatch.setattr(where, "has_lz4", asking)
    yield
    assert len(asked) == 1


@pytest.mark.parametrize("major", [15, OWN])
@pytest.mark.usefixtures("asked_once")
def test_they_come_back_with_its_own_compression(source: CaseEstate, tmp_path: Path, major: int) -> None:
    """The restore was refused: compression method lz4 not supported."""
    programs = npm_programs(15) if major != OWN else None
    if programs is None:
        restored = source.restore()
    else:
        with served_by(programs, major), other_server(source, "dr", tmp_path):
            restored = source.restore()
            assert source.rows("app", SHOWN) == source.rows("app", SHOWN, "primary")
            assert source.value("app", "SELECT f()") == source.value("app", "SELECT f()", "primary")
    assert restored.findings == ()
    assert {NOTE, SETTING} <= {*restored.notes}


@pytest.mark.usefixtures("asked_once")
def test_they_come_back_as_they_were_where_it_is_known(source: CaseEstate, tmp_path: Path) -> None:
    with served_by(debian_programs(), 15), other_server(source, "dr", tmp_path):
        restored = source.restore()
        assert (restored.findings, [line for line in restored.notes if "lz4" in line]) == ((), [])
        compressed = "SELECT attname, attcompression::text FROM pg_attribute WHERE attrelid = 't'::regclass ORDER BY 1"
        assert source.rows("app", compressed) == source.rows("app", compressed, "primary")
        assert source.value("app", "SELECT pg_column_compression(v) FROM t LIMIT 1") == "lz4"
