"""Transactions that are prepared for a two-phase commit: in a base backup, in no dump, and never lost in silence."""

from __future__ import annotations

import pytest

from harness.core.node import Stoppable
from harness.estate.site import DATABASE
from harness.recovery.recovery import Activated
from tests.cases.estate import CaseEstate
from tests.cases.test_server import archiving

pytestmark = [pytest.mark.cases, pytest.mark.night]
NAME = "prepared transactions of database app"


def allow(case: CaseEstate) -> None:
    """Let the primary prepare transactions. DR's server allows none, as servers do by default."""
    case.run("postgres", "ALTER SYSTEM SET max_prepared_transactions = 10")
    node = case.primary.nodes[DATABASE]
    assert isinstance(node, Stoppable)
    node.stop(30.0)
    node.start()


def prepare(case: CaseEstate, number: int, name: str) -> None:
    quoted = name.replace("'", "''")
    case.run("app", f"BEGIN; INSERT INTO t VALUES ({number}); PREPARE TRANSACTION '{quoted}'")  # noqa: S608


def test_a_dump_without_them_says_so(estate: CaseEstate) -> None:
    allow(estate)
    estate.declare("app")
    estate.create("app", "CREATE TABLE t (n int)")
    prepare(estate, 1, "o'brien 1")
    estate.back_up()
    (gap,) = estate.contents.uncovered
    assert gap.startswith(f'{NAME}: no dump has them: "o\'brien 1" of 20')
    assert gap.endswith("; commit them or roll them back")
    selected = estate.recovery.select(Activated(()))
    assert selected.uncovered == (gap,)  # which leaves the verdict UNKNOWN
    estate.backup = {"exclude": {NAME: "the coordinator repeats them"}}
    estate.back_up()
    assert estate.contents.uncovered == ()
    assert [(gap.what, gap.excluded) for gap in estate.contents.gaps] == [(NAME, "the coordinator repeats them")]
    estate.run("app", "COMMIT PREPARED 'o''brien 1'")
    estate.back_up()
    assert estate.contents.gaps == ()


def test_a_server_that_is_restored_as_a_whole_has_them_and_can_commit_them(physical: CaseEstate) -> None:
    allow(physical)
    with archiving(physical):
        prepare(physical, 101, "early")
        physical.back_up()
        prepare(physical, 102, "late")
        altered = "BEGIN; ALTER TABLE altered ADD more int; PREPARE TRANSACTION 'locking'"
        physical.run("app", "CREATE TABLE altered (n int)", altered)
    assert [gap.what for gap in physical.contents.gaps] == [NAME]  # of the dumps
    recovery = physical.recovery
    selected = recovery.select(Activated(()))
    assert selected.uncovered == ()  # the base backup has them
    done = recovery.restore(selected)
    assert (done.source["mode"], done.findings) == ("physical", ())
    (note,) = [line for line in done.notes if line.startswith(NAME)]
    assert "'early' of 20" in note
    assert "'late' of 20" in note
    (unread,) = [line for line in done.notes if "public.altered" in line]
    assert unread.startswith("database app: table public.altered cannot be read: the prepared transaction 'locking'")
    physical.run("app", "COMMIT PREPARED 'locking'", site="dr")
    assert physical.value("app", "SELECT count(*) FROM t") == 100
    for name in ("early", "late"):
        physical.run("app", f"COMMIT PREPARED '{name}'", site="dr")
    prepared = "BEGIN; INSERT INTO t VALUES (103); PREPARE TRANSACTION 'new'"
    physical.run("app", prepared, "COMMIT PREPARED 'new'", site="dr")
    assert physical.value("app", "SELECT count(*) FROM t") == 103
