"""Sequences that are set back while a backup runs: they are not part of its snapshot, and pg_dump reads them later."""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest

from harness.core.contents import SequenceFacts
from harness.core.errors import RestoreFailed
from harness.core.node import Running, Site, Task
from harness.core.service import Sql
from harness.postgres import dump
from tests.cases.estate import CaseEstate

pytestmark = [pytest.mark.cases, pytest.mark.programs]

MADE = (
    "CREATE SEQUENCE up",
    "CREATE SEQUENCE down INCREMENT -2",
    'CREATE SEQUENCE "Zähler, 1, true);"',
    "CREATE SEQUENCE again",
    "CREATE SEQUENCE ahead",
    "SELECT setval('up', 900), setval('down', -900), setval('\"Zähler, 1, true);\"', 900), setval('again', 900)",
    "SELECT setval('ahead', 900)",
)
MEANWHILE = (
    "SELECT setval('up', 5), setval('down', -5), setval('\"Zähler, 1, true);\"', 7, false), setval('ahead', 950)",
    "ALTER SEQUENCE again RESTART",
)
AFTER = "SELECT setval('up', 1000), setval('down', -1000), setval('\"Zähler, 1, true);\"', 1000), setval('again', 1000)"
DUMPED = {  # what the dump has
    "public.up": (5, True),
    "public.down": (-5, True),
    'public."Zähler, 1, true);"': (7, False),
    "public.again": (1, False),
    "public.ahead": (950, True),
}
LATIN = "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"


@pytest.fixture
def set_back(estate: CaseEstate, monkeypatch: pytest.MonkeyPatch) -> CaseEstate:
    """An estate whose sequences are set back before pg_dump reads them, and go on from there while it writes."""
    ordinary_task, ordinary_chunks = dump.dump_task, dump.chunks

    def dump_task(site: Site, sql: Sql, snapshot: dump.Snapshot) -> Task:
        estate.run(snapshot.database, *(MEANWHILE if snapshot.database == "app" else ("SELECT setval('up', 5)",)))
        return ordinary_task(site, sql, snapshot)

    def chunks(running: Running, patience: float) -> Generator[bytes, None, None]:
        for chunk in ordinary_chunks(running, patience):
            if chunk.startswith(b"PGDMP"):
                estate.run("app", AFTER)
            yield chunk

    monkeypatch.setattr(dump, "dump_task", dump_task)
    monkeypatch.setattr(dump, "chunks", chunks)
    estate.create("app", *MADE)
    estate.declare("app")
    return estate


def test_a_sequence_that_is_set_back_before_it_is_dumped_leaves_the_backup_good(set_back: CaseEstate) -> None:
    """The backup said 900, its dump 5: every restore was refused as behind."""
    set_back.back_up()
    (app,) = set_back.contents.databases
    expected = {name: SequenceFacts(name, *value) for name, value in DUMPED.items()}
    expected["public.ahead"] = SequenceFacts("public.ahead", 900)  # of the snapshot, which is never ahead of the dump
    assert {one.name: one for one in app.sequences} == expected
    assert set_back.restore().findings == ()
    found = {name: set_back.rows("app", f"SELECT last_value, is_called FROM {name}") for name in DUMPED}  # noqa: S608
    assert found == {name: [value] for name, value in DUMPED.items()}


def test_so_does_one_of_a_database_in_another_encoding(set_back: CaseEstate) -> None:
    set_back.run("postgres", LATIN)
    set_back.run("latin", "CREATE SEQUENCE up", "SELECT setval('up', 900)", "CREATE SEQUENCE zähler")
    set_back.back_up()
    assert set_back.restore().findings == ()
    assert set_back.value("latin", "SELECT last_value FROM up") == 5


def test_a_dump_that_is_behind_the_backup_is_found_at_its_restore(
    set_back: CaseEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what the dump says of them, sequences are compared with the snapshot."""
    monkeypatch.setattr(dump, "SETVAL", re.compile(rb"never"))
    set_back.back_up()
    with pytest.raises(RestoreFailed, match=r"sequence public.up: at 5, behind 900"):
        set_back.restore()
