"""Databases that change their names between two dumps of one backup: each content is in it, or is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from harness.backup.plan import Plan
from harness.backup.work import Work
from harness.core.contents import Contents, SystemFacts
from harness.core.service import Sql
from harness.postgres import dump
from harness.postgres.dump import Snapshot
from harness.recovery.recovery import Activated
from tests.cases.estate import CaseEstate

pytestmark = [pytest.mark.cases, pytest.mark.programs]

SWAP = tuple(
    f"ALTER DATABASE {old} RENAME TO {new}" for old, new in (("blue", "spare"), ("green", "blue"), ("spare", "green"))
)
RENAMED = "database {}: renamed while the backup ran, it is {} now and no dump has it; take another backup"


@pytest.mark.parametrize(
    ("statements", "dumped", "gaps"),
    [
        (SWAP, {"blue": 1, "green": 1}, [RENAMED.format("green", "blue")]),
        ((*SWAP, *SWAP), {"blue": 1, "green": 2}, []),
        (("ALTER DATABASE green RENAME TO other", "CREATE DATABASE green TEMPLATE app"), {"blue": 1, "green": 0},
         [RENAMED.format("green", "other")]),
        (("DROP DATABASE blue", "ALTER DATABASE green RENAME TO blue"), {"blue": 1},
         [RENAMED.format("green", "blue")]),
        (("DROP DATABASE green", "CREATE DATABASE green TEMPLATE app"), {"blue": 1, "green": 0}, []),
    ],
    ids=["swapped", "swapped twice", "replaced", "put in the place of another", "made anew"],
)  # fmt: skip
def test_a_database_whose_name_another_takes_between_two_dumps_is_named(
    estate: CaseEstate,
    monkeypatch: pytest.MonkeyPatch,
    statements: Sequence[str],
    dumped: dict[str, int],
    gaps: list[str],
) -> None:
    """The content of the first was in the backup twice and that of the other not at all: KEPT."""
    for number, name in enumerate(("app", "blue", "green")):
        estate.create(name, f"CREATE TABLE t AS SELECT {number} AS n")
    estate.declare("app")
    estate.backup = {"parallel": 2}  # one database at a time
    ordinary = dump.open_snapshot

    @contextmanager
    def renaming(sql: Sql, name: str, **more: Callable[[], bool]) -> Iterator[Snapshot]:
        if name == "green":
            estate.run("postgres", *statements)
        with ordinary(sql, name, **more) as snapshot:  # type: ignore[arg-type]
            yield snapshot

    monkeypatch.setattr(dump, "open_snapshot", renaming)
    found = estate.back_up().contents
    assert (list(found.uncovered), found.excluded) == (gaps, ())
    selected = estate.recovery.select(Activated(()))
    assert list(selected.uncovered) == gaps  # which leaves the verdict UNKNOWN
    estate.recovery.restore(selected)
    assert {name: estate.value(name, "SELECT n FROM t") for name in dumped} == dumped


def test_databases_that_swap_names_before_either_is_dumped_are_both_in_the_backup(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("app", "blue", "green")):
        estate.create(name, f"CREATE TABLE t AS SELECT {number} AS n")
    estate.declare("app")
    begun = Work.contents

    def contents(work: Work, system: SystemFacts, plan: Plan) -> Contents:
        estate.run("postgres", *SWAP)
        return begun(work, system, plan)

    monkeypatch.setattr(Work, "contents", contents)
    assert estate.back_up().contents.gaps == ()
    estate.restore()
    assert [estate.value(name, "SELECT n FROM t") for name in ("blue", "green")] == [2, 1]
