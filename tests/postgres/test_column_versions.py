"""The versions that PostgreSQL gives columns, which an older pg_dump takes for options of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import pytest

from harness.postgres.contents.schema import SchemaText
from harness.postgres.restoring.toc import read_contents, without_versions
from tests.postgres_archive import Made, archive

TABLE = """CREATE TABLE public.word (
    n integer,
    v text DEFAULT 'SET (pg_attver=1, pg_attver=2);'::text
);
ALTER TABLE ONLY public.word ALTER COLUMN n SET (pg_attver=22241184);
ALTER TABLE ONLY public."a; word" ALTER COLUMN v SET (pg_attver=7, n_distinct=5);
ALTER TABLE ONLY public.word ALTER COLUMN v SET (n_distinct=5, pg_attver=22241184);
"""
PLAIN = """CREATE TABLE public.word (
    n integer,
    v text DEFAULT 'SET (pg_attver=1, pg_attver=2);'::text
);
ALTER TABLE ONLY public."a; word" ALTER COLUMN v SET (n_distinct=5);
ALTER TABLE ONLY public.word ALTER COLUMN v SET (n_distinct=5);
"""
ROWS = b"ALTER TABLE ONLY t ALTER COLUMN n SET (pg_attver=1);\n"


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_dump_sets_none_and_keeps_its_places_and_its_rows(size: int) -> None:
    entries = (
        Made("TABLE", "word", TABLE, "public"),
        Made("TABLE DATA", "word", "", "public", copy="COPY t FROM stdin;"),
    )
    dump = archive(*entries) + ROWS
    found = b"".join(without_versions(pieces(dump, size)))
    assert len(found) == len(dump)
    assert found.endswith(ROWS)
    (table, _) = read_contents("it", BytesIO(found), {"TABLE"})
    assert b"".join(table.text.split()) == b"".join(PLAIN.encode().split())


@pytest.mark.parametrize("end", [0, 4, 40, 150, 400])
def test_what_is_no_dump_is_passed_on_as_it_is(end: int) -> None:
    whole = archive(Made("VIEW", "v", "CREATE VIEW v AS SELECT 1;\n" * 20, "public"))
    for data in (whole[:end], b"{}" + whole[:end], whole):
        assert b"".join(without_versions(pieces(data, 11))) == data


def test_a_schema_with_them_is_equal_to_one_without() -> None:
    header = "--\n-- Name: word; Type: TABLE; Schema: public; Owner: app\n--\n\n"
    sides = [SchemaText() for _ in range(3)]
    texts = (TABLE, PLAIN, PLAIN.replace("n_distinct=5", "n_distinct=6"))
    for side, text in zip(sides, texts, strict=True):
        assert list(side.chunks(((header + text).encode(),)))
    assert sides[0].digest == sides[1].digest != sides[2].digest
