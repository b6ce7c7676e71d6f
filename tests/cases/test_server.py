"""The database server is restored as a whole from a base backup and its WAL, and from the dumps where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from harness.core.errors import Finding, HarnessError
from harness.core.node import Stoppable
from harness.estate.site import DATABASE
from harness.physical.receive import Receiver
from harness.physical.source import source_at
from harness.postgres.identity import system_facts
from harness.recovery.recovery import Activated
from harness.recovery.restore_server import SCRATCH
from harness.recovery.start import find_connections
from harness.repository.format.layout import Layout
from tests.cases.estate import NAME, CaseEstate


@contextmanager
def archiving(case: CaseEstate) -> Iterator[None]:
    """Ship the primary's WAL while the block runs, all of it."""
    source, stop = source_at(case.connections), Event()
    receiver = Receiver(source.sql, source.repository, source.keys, source.slot, case.journal, 0.2)
    thread = Thread(target=receiver.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def test_rows_from_after_the_dumps_come_back_with_roles_and_views(physical: CaseEstate) -> None:
    with archiving(physical):
        physical.back_up()
        physical.run("app", "INSERT INTO t VALUES (101)", "CREATE ROLE late LOGIN PASSWORD 'secret'")
        physical.run("app", "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
        physical.create("younger", "CREATE TABLE y AS SELECT 1 AS n")
    done = physical.restore()
    assert physical.value("app", "SELECT count(*) FROM t") == 101
    assert physical.value("app", "SELECT n FROM v") == 101
    assert physical.value("younger", "SELECT n FROM y") == 1
    assert physical.value("app", "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'late'") is True
    assert (done.source["mode"], done.findings, done.left) == ("physical", (), 1)
    assert {one.name for one in done.contents.databases} == {"app", "younger"}
    assert any("0 of 1 tables are as in the dumps" in line for line in done.notes)
    assert not (physical.substrate.run / SCRATCH).exists()


def test_unlogged_tables_are_named_as_empty(physical: CaseEstate) -> None:
    """They were said to have been written to since the dumps."""
    physical.run("app", "CREATE UNLOGGED TABLE cache AS SELECT 2 AS n")
    physical.back_up()
    done = physical.restore()
    assert done.source["mode"] == "physical"
    assert physical.value("app", "SELECT count(*) FROM cache") == 0
    assert done.notes[1:] == (
        "1 of 1 tables are as in the dumps of before, the others were written to since",
        "unlogged, so that a base backup has none of their rows: table public.cache of app",
    )


def test_the_server_of_dr_keeps_its_own_password_and_settings(physical: CaseEstate) -> None:
    physical.run("postgres", "ALTER SYSTEM SET work_mem = '77MB'")
    physical.back_up()
    assert physical.restore().source["mode"] == "physical"
    assert physical.value("app", "SELECT current_setting('work_mem')") != "77MB"
    assert physical.value("app", "SELECT current_setting('archive_mode')") == "off"
    assert "restore" not in physical.file("postgres", "data/postgresql.auto.conf").decode()


def test_a_subscription_is_disabled_before_the_server_of_dr_starts(physical: CaseEstate) -> None:
    publisher = "host=127.0.0.1 port=9 dbname=app"
    physical.run(
        "app",
        f"CREATE SUBSCRIPTION s CONNECTION '{publisher}' PUBLICATION p WITH (connect = false, slot_name = 's')",
        "ALTER SUBSCRIPTION s ENABLE",
    )
    physical.back_up()
    done = physical.restore()
    assert physical.value("app", "SELECT subenabled FROM pg_subscription") is False
    assert "subscription" in "".join(action for entry in done.held for action in entry.actions)


def lose_objects(case: CaseEstate, prefix: str, suffix: str) -> None:
    keys = [e.key for e in case.store.list(prefix) if e.key.endswith(suffix)]
    assert keys
    for key in keys:
        case.store.delete(key)


@pytest.mark.parametrize("lost", ["base.tar", "backup_manifest", "wal"])
def test_the_dumps_are_restored_where_the_base_backup_or_its_wal_is_lost(physical: CaseEstate, lost: str) -> None:
    physical.back_up()
    newest = physical.repository.committed()[0].backup_id
    if lost == "wal":
        lose_objects(physical, Layout(NAME).of("wal-batch"), "")
    else:
        lose_objects(physical, Layout(NAME).data(newest), lost)
    recovery = physical.recovery
    selected = recovery.select(Activated(()))
    done = recovery.restore(selected)
    assert done.source == {"mode": "logical"}
    assert physical.value("app", "SELECT count(*) FROM t") == 100
    assert any("dumps are" in line for line in (*selected.findings, *done.findings))
    assert physical.value("app", "SELECT timeline_id FROM pg_control_checkpoint()") == 1
    assert not (physical.substrate.run / SCRATCH).exists()


def test_the_dumps_are_restored_where_they_are_newer_than_the_wal(physical: CaseEstate) -> None:
    physical.back_up()
    physical.run("app", "INSERT INTO t VALUES (101)")
    physical.backup["mode"] = "logical"
    physical.back_up()
    physical.backup["mode"] = "physical"
    recovery = physical.recovery
    selected = recovery.select(Activated(()))
    assert any("before the dumps" in line for line in selected.findings)
    assert recovery.restore(selected).source == {"mode": "logical"}
    assert physical.value("app", "SELECT count(*) FROM t") == 101


def test_a_server_on_the_timeline_of_the_primary_is_the_primary(physical: CaseEstate) -> None:
    physical.back_up()
    contents, sql = physical.contents, physical.primary.place.sql
    here = system_facts(sql)
    with pytest.raises(Finding, match="of the primary"):
        find_connections(sql, (), contents, physical.journal, {}, left=here.timeline)
    assert find_connections(sql, (), contents, physical.journal, {}, left=here.timeline - 1 or -1) == ()


def test_the_backup_fails_when_only_the_base_backup_fails(physical: CaseEstate) -> None:
    physical.run("postgres", "ALTER SYSTEM SET max_wal_senders = 0", "ALTER SYSTEM SET wal_level = 'minimal'")
    node = physical.primary.nodes[DATABASE]
    assert isinstance(node, Stoppable)
    node.stop(30.0)
    physical.primary.nodes[DATABASE].start()
    with pytest.raises((Finding, HarnessError)):
        physical.back_up()
    assert physical.facts("1.7.1")
    assert len(physical.repository.committed()) == 1
