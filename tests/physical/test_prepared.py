"""Prepared transactions that lock a table exclusively: what cannot be read is named and not waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.contents import Contents
from harness.core.journal import MemoryJournal
from harness.core.node import Stoppable
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.single.into import look_into
from harness.physical.single.restore import One, restore_one
from harness.physical.target import read_target
from harness.postgres import checks
from harness.recovery.read_server import compared, read_database
from harness.restore_test.scratch.outcome import Scratch
from harness.restore_test.scratch.verify import verify_restored
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.restore_test.test_scratch import config
from tests.servers import DatabaseServer, start_database


@pytest.fixture(scope="module")
def server(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    made = start_database(substrate.site("primary"), tmp_path_factory.mktemp("primary"))
    made.execute("postgres", "ALTER SYSTEM SET max_prepared_transactions = 10", "CREATE DATABASE shop")
    assert isinstance(made.node, Stoppable)
    made.node.stop(30.0)
    made.node.start()
    for name in ("open", "altered", "indexed", "held"):
        made.execute("shop", f"CREATE TABLE {name} AS SELECT generate_series(1, 10) n")
    made.execute("shop", "CREATE INDEX by_n ON indexed (n)", "CREATE SEQUENCE numbers")
    made.execute("shop", "BEGIN", "ALTER TABLE altered ADD more int", "PREPARE TRANSACTION 'o''brien'")
    made.execute("shop", "BEGIN", "ALTER SEQUENCE numbers RESTART 7", "REINDEX INDEX by_n", "PREPARE TRANSACTION 'two'")
    made.execute("shop", "BEGIN", "INSERT INTO held VALUES (11)", "PREPARE TRANSACTION 'harmless'")
    return made


@pytest.fixture(scope="module")
def taken(server: DatabaseServer, recipients: Recipients) -> Archive:
    archive = Archive(server, recipients.repository(MemoryStore()), recipients)
    take_physical(archive.source, MemoryJournal())
    return archive


def test_what_is_locked_is_left_out_and_named(server: DatabaseServer) -> None:
    read = read_database(server.sql, "shop")
    facts, locks = read.facts, read.locks
    assert [one.name for one in facts.tables] == ["public.held", "public.open"]
    assert {(one.table, one.gid, one.owner) for one in locks} >= {
        ("public.altered", "o'brien", "postgres"),
        ("public.indexed", "two", "postgres"),
    }
    (line,) = [line for line in facts.not_compared if "public.altered" in line]
    assert line.startswith('table public.altered cannot be read: the prepared transaction "o\'brien" of 20')
    assert line.endswith("by role postgres has it locked; COMMIT PREPARED or ROLLBACK PREPARED it there")
    said = [*compared([read], Contents(facts, (facts,), (), ()))]  # type: ignore[arg-type]
    assert said[0].startswith("2 of 2 tables are as in the dumps")
    assert f"database shop: {line}" in said
    assert not any("dropped" in one for one in said)
    assert (checks.losses(server.sql, facts), checks.differences(server.sql, facts)) == ((), ())


def test_one_database_is_copied_without_what_was_not_committed(
    taken: Archive, substrate: Embedded, tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir()
    other = start_database(substrate.site("other"), tmp_path / "secrets")
    one, wanted = One("shop", look_into(other.sql, "copy"), tmp_path), Wanted(read_target("latest"))
    done = restore_one(taken.repository, taken.keys.dr[0], wanted, one, MemoryJournal())
    assert other.one("copy", "SELECT count(*) FROM altered") == 10
    assert other.one("copy", "SELECT count(*) FROM held") == 10
    assert [line.partition(" of 20")[0] for line in done.uncommitted] == [
        'database shop: without what the prepared transaction "o\'brien"',
        "database shop: without what the prepared transaction 'two'",
        "database shop: without what the prepared transaction 'harmless'",
    ]


def test_a_verification_by_restore_checks_the_locked_tables_too(taken: Archive, tmp_path: Path) -> None:
    place = Scratch(
        taken.repository, taken.keys.dr[0], config(), tmp_path / "runs", tmp_path / "logs", MemoryJournal(),
        lambda _count: None,
    )  # fmt: skip
    (tmp_path / "runs").mkdir()
    lines = [*verify_restored(place, every=True)]
    assert not any(one.wrong for one in lines), lines
    assert any("4 tables with 40 rows read" in one.said for one in lines), lines
    assert any("without what the prepared transaction 'two'" in one.said for one in lines), lines
