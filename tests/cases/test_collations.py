"""Text that ICU sorts: a database and a table of such a collation, restored where ICU is another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.errors import RestoreFailed
from harness.postgres.server import connect
from tests.cases.estate import CaseEstate, other_server
from tests.cases.majors import OWN, asked_major, debian_programs, npm_programs, served_by

pytestmark = [
    pytest.mark.cases,
    pytest.mark.night,
    pytest.mark.skipif(asked_major() != OWN, reason="these servers have majors of their own"),
]
SHOP = (
    "CREATE DATABASE shop TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' LOCALE 'C' ENCODING UTF8"
)
WORDS = ("Zebra", "Äpfel", "apfel", "Apfel", "äpfel", "Öl", "Ofen", "z", "straße", "strasse", "ñandú", "nube")
MADE = (
    "CREATE COLLATION folded (provider = icu, locale = 'und@colStrength=secondary', deterministic = false)",
    'CREATE TABLE word (n int PRIMARY KEY, v text UNIQUE, f text COLLATE folded, e text COLLATE "es-x-icu")',
    "INSERT INTO word SELECT n, w || n, w, w FROM unnest(%s) WITH ORDINALITY AS t (w, n)",
    "CREATE INDEX by_fold ON word (f); CREATE INDEX by_spanish ON word (e)",
)
ORDER = "SELECT n, v, f FROM word ORDER BY v"
FOUND = "SELECT count(*) FROM word WHERE f = 'APFEL'"
BY_INDEX = "SET enable_seqscan = off; SET enable_bitmapscan = off"


@pytest.fixture
def source(estate: CaseEstate, tmp_path: Path) -> Iterator[CaseEstate]:
    """The estate with a primary of Debian's PostgreSQL 15, whose ICU is 72, and such a database on it."""
    with served_by(debian_programs(), 15), other_server(estate, "primary", tmp_path):
        estate.run("postgres", SHOP)
        words = "ARRAY[" + ", ".join(f"'{word}'" for word in WORDS) + "]"
        estate.run("shop", *(one.replace("%s", words) for one in MADE), site="primary")
        estate.back_up()
        yield estate


@pytest.mark.parametrize(("programs", "major"), [(debian_programs, 15), (npm_programs, 15), (npm_programs, 18)])
def test_text_of_icu_comes_back(source: CaseEstate, tmp_path: Path, programs: Callable[..., Path], major: int) -> None:
    debian = programs is debian_programs
    with served_by(programs() if debian else programs(major), major), other_server(source, "dr", tmp_path):
        restored = source.restore()
        assert restored.findings == ()
        assert source.rows("shop", ORDER) == source.rows("shop", ORDER, "primary")
        with connect(source.dr.place.sql, "shop") as connection:
            connection.execute(BY_INDEX)
            assert connection.execute(FOUND).fetchall() == [(2,)]
        noted = [line for line in restored.notes if "collation" in line]
        assert len(noted) == (0 if debian else 3)


def test_a_server_without_icu_is_named(source: CaseEstate) -> None:
    with pytest.raises(RestoreFailed, match="ICU is not supported"):
        source.restore()
