"""The versions that PostgreSQL gives columns, which an older pg_dump takes for options of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import pytest

from harness.postgres.contents.schema import SchemaText
from harness.postgres.restoring.toc import adapted, read_contents
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
    found = b"".join(adapted(pieces(dump, size)))
    assert len(found) == len(dump)
    assert found.endswith(ROWS)
    (table, _) = read_contents("it", BytesIO(found), {"TABLE"})
    assert b"".join(table.text.split()) == b"".join(PLAIN.encode().split())


@pytest.mark.parametrize("end", [0, 4, 40, 150, 400])
def test_what_is_no_dump_is_passed_on_as_it_is(end: int) -> None:
    whole = archive(Made("VIEW", "v", "CREATE VIEW v AS SELECT 1;\n" * 20, "public"))
    for data in (whole[:end], b"{}" + whole[:end], whole):
        assert b"".join(adapted(pieces(data, 11))) == data


def test_a_schema_with_them_is_equal_to_one_without() -> None:
    header = "--\n-- Name: word; Type: TABLE; Schema: public; Owner: app\n--\n\n"
    sides = [SchemaText() for _ in range(3)]
    texts = (TABLE, PLAIN, PLAIN.replace("n_distinct=5", "n_distinct=6"))
    for side, text in zip(sides, texts, strict=True):
        assert list(side.chunks(((header + text).encode(),)))
    assert sides[0].digest == sides[1].digest != sides[2].digest


def test_a_table_is_made_without_a_compression_that_the_server_has_not() -> None:
    """A statement before it that was taken out has left its blanks; the text of a function stays as it is."""
    set_lz4 = "ALTER TABLE ONLY public.word ALTER COLUMN v SET COMPRESSION lz4;\n"
    set_pglz = set_lz4.replace("lz4", "pglz")
    entries = (
        Made("FUNCTION", "f()", f"CREATE FUNCTION f()\n{set_lz4}", "public"),
        Made("TABLE", "word", TABLE + set_lz4 + set_pglz, "public"),
    )
    changed: list[str] = []
    dump = archive(*entries) + ROWS
    found = b"".join(adapted(pieces(dump, 7), lz4=False, changed=changed.append))
    assert (len(found), changed) == (len(dump), ["TABLE public.word"])
    function, table = read_contents("it", BytesIO(found), {"TABLE", "FUNCTION"})
    assert function.text.decode().endswith(set_lz4)
    assert b"".join(table.text.split()) == b"".join((PLAIN + set_pglz).encode().split())
    assert b"".join(adapted(pieces(archive(entries[1]), 7))).count(b"lz4") == 1
