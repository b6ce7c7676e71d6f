"""Definitions that change while a database is dumped: pg_dump reads some of them outside its snapshot."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from harness.core.errors import BackupFailed
from harness.core.node import Running, Site, Task
from harness.core.service import Sql
from harness.postgres import dump
from tests.cases.estate import CaseEstate

pytestmark = [pytest.mark.cases, pytest.mark.programs]

FUNCTION = "CREATE OR REPLACE FUNCTION f(a int DEFAULT {}) RETURNS int LANGUAGE sql AS 'SELECT a'"
TRIGGER = """CREATE OR REPLACE TRIGGER tr BEFORE {} ON t
FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"""
ROWS = "CREATE TABLE t AS SELECT g AS n, repeat('x', 1000) AS filler FROM generate_series(1, 20000) g"  # five chunks
GRANT = "CREATE ROLE reader; GRANT SELECT ON t TO reader"
CHANGES = [
    (FUNCTION.format(1), FUNCTION.format(2), "function public.f(integer)"),
    (TRIGGER.format("UPDATE"), TRIGGER.format("UPDATE OF n"), "trigger public.t tr"),
    (GRANT, "ALTER ROLE reader RENAME TO viewer", "grants on table public.t"),
]


@pytest.fixture(params=CHANGES, ids=["a function", "a trigger", "a role"])
def change(estate: CaseEstate, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A statement that changes a definition of the database `app`, and the definition's name."""
    first, then, name = request.param
    estate.create("app", ROWS, first)
    estate.declare("app")
    return then, name


def test_what_changes_while_rows_are_dumped_leaves_the_backup_good(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str]
) -> None:
    """Its schema had the definition of after the dump, and every restore failed."""
    ordinary, changed = dump.chunks, []

    def chunks(running: Running, patience: float) -> Generator[bytes, None, None]:
        for number, chunk in enumerate(ordinary(running, patience)):
            if chunk.startswith(b"PGDMP"):
                changed.append(running)
            elif number == 1 and running in changed:
                estate.run("app", change[0])
                changed.append(running)
            yield chunk

    monkeypatch.setattr(dump, "chunks", chunks)
    estate.back_up()
    assert len(changed) == 2
    assert estate.restore().findings == ()


def test_what_changes_while_definitions_are_dumped_fails_the_backup_and_is_named(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str]
) -> None:
    ordinary = dump.dump_task

    def changing(site: Site, sql: Sql, snapshot: dump.Snapshot) -> Task:
        estate.run("app", change[0])
        return ordinary(site, sql, snapshot)

    monkeypatch.setattr(dump, "dump_task", changing)
    with pytest.raises(BackupFailed) as failed:
        estate.back_up()
    assert str(failed.value) == (
        f"database app: definitions changed while pg_dump read them: {change[1]}; take another backup"
    )
    assert (estate.repository.committed(), estate.facts("1.7.2")[0]["sent"]) == ((), True)
    monkeypatch.undo()
    estate.back_up()
    assert estate.restore().findings == ()
