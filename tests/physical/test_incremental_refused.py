"""When an incremental backup is refused: the remedy is named, and nothing is left in the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import BackupFailed, Refused
from harness.core.journal import MemoryJournal
from harness.core.node import Address
from harness.core.service import Sql
from harness.physical import backup as module
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.restore import restore
from harness.physical.source import PhysicalSource
from harness.physical.target import read_target
from harness.repository.catalogue import Receipt
from harness.signing import new_signing_pair
from harness.substrate.embedded.substrate import Embedded
from tests.cases.majors import serving
from tests.physical.conftest import Archive, folder_of
from tests.physical.test_incremental import summarize
from tests.physical.test_restore import running
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import start_database

REMEDY = "blackstart backup --mode physical"


@pytest.fixture
def on(archive: Archive) -> Iterator[Archive]:
    summarize(archive.db)
    yield archive
    summarize(archive.db, "off")


def full(archive: Archive) -> Receipt:
    return take_physical(archive.source, MemoryJournal())


def refused(archive: Archive, reason: str) -> None:
    """Assert that an incremental backup is refused with a reason and the remedy in one line, and leaves nothing."""
    before = {one.key for one in archive.repository.store.list("") if "/wal" not in one.key}
    with pytest.raises(Refused, match=reason) as error:
        take_physical(archive.source, MemoryJournal(), incremental=True)
    assert REMEDY in str(error.value)
    assert "\n" not in str(error.value)
    assert {one.key for one in archive.repository.store.list("") if "/wal" not in one.key} == before


def test_without_summaries(archive: Archive) -> None:
    full(archive)
    refused(archive, "summarize_wal is off; ALTER SYSTEM SET summarize_wal = on")


def test_without_a_backup_to_build_on(on: Archive) -> None:
    refused(on, "no physical one of this server is committed")


def test_where_the_summaries_since_the_parent_are_gone(on: Archive) -> None:
    full(on)
    take_physical(on.source, MemoryJournal(), incremental=True)
    on.db.execute(
        "postgres", "CREATE TABLE gone AS SELECT 1", "CHECKPOINT", "SELECT pg_switch_wal()", "DROP TABLE gone"
    )
    take_physical(on.source, MemoryJournal(), incremental=True)
    summarize(on.db, "off")
    for path in (folder_of(on.db) / "pg_wal/summaries").iterdir():
        path.unlink()
    on.db.execute("postgres", "CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT")
    summarize(on.db)
    refused(on, "WAL summaries are required|no summaries")
    full(on)
    take_physical(on.source, MemoryJournal(), incremental=True)


def test_another_writer_cannot_build_on_it(on: Archive) -> None:
    full(on)
    keys = replace(on.source.keys, signing_key=new_signing_pair()[0].decode())

    class Other(Archive):
        @property
        def source(self) -> PhysicalSource:
            return replace(super().source, keys=keys)

    refused(Other(on.db, on.repository, on.keys), "segment 0: does not authenticate")


def test_a_backup_whose_own_copy_is_gone_is_passed_over(on: Archive) -> None:
    first, second = full(on), full(on)
    on.repository.store.delete(on.repository.layout.writer(second.backup_id))
    receipt = take_physical(on.source, MemoryJournal(), incremental=True)
    assert receipt.contents.physical is not None
    assert receipt.contents.physical.parent is not None
    assert receipt.contents.physical.parent.backup_id == first.backup_id
    on.repository.store.delete(on.repository.layout.writer(receipt.backup_id))
    on.repository.store.delete(on.repository.layout.writer(first.backup_id))
    refused(on, f"{first.backup_id}: .*does not exist")


def test_a_parent_that_is_removed_meanwhile(on: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, real = full(on), module._ship

    def removed(*words: object) -> None:
        on.repository.store.delete(on.repository.layout.commit(parent.backup_id))
        real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_ship", removed)
    with pytest.raises(BackupFailed, match=f"backup {parent.backup_id}, which this one builds on, was removed"):
        take_physical(on.source, MemoryJournal(), incremental=True)
    assert on.repository.committed() == ()


def test_a_server_before_17(substrate: Embedded, recipients: Recipients, tmp_path: Path) -> None:
    with serving(15):
        db = start_database(substrate.site("older"), tmp_path)
    old = Archive(db, recipients.repository(MemoryStore()), recipients)
    full(old)
    refused(old, "incremental backups need version 17 or newer")
    assert not [one.key for one in old.repository.store.list(old.repository.layout.of("writer"))]


@pytest.mark.night
def test_a_timeline_that_began_since(on: Archive, tmp_path: Path) -> None:
    """A restored server is on a new timeline: its first backup is a full one, the next builds on that."""
    full(on)
    on.db.execute("postgres", "DROP TABLE IF EXISTS kept", "CREATE TABLE kept AS SELECT 1 AS i")
    take_physical(on.source, MemoryJournal(), incremental=True)
    wanted, key = Wanted(read_target("latest")), on.keys.dr[0]
    done = restore(on.repository, key, wanted, tmp_path / "data", MemoryJournal())
    hba, password, place = tmp_path / "hba", tmp_path / "password", tmp_path / "run"
    hba.write_text("local all all trust\nlocal replication all trust\n")
    password.write_text("none is asked for\n")
    with running(done.folder, place, {"hba_file": str(hba), "summarize_wal": "on"}) as session:
        session.autocommit = True
        address = Address(str(place), 5432)
        moved = replace(on, db=replace(on.db, sql=Sql(address, address, "postgres", f"file:{password}")))
        refused(moved, re.escape("is of timeline 1, the server is on 2"))
        first = full(moved)
        session.execute("INSERT INTO kept VALUES (2)")
        second = take_physical(moved.source, MemoryJournal(), incremental=True)
    assert second.contents.physical is not None
    assert second.contents.physical.parent is not None
    assert second.contents.physical.parent.backup_id == first.backup_id
    again = restore(on.repository, key, wanted, tmp_path / "again", MemoryJournal())
    assert (again.backup_id, again.timeline) == (second.backup_id, 2)
    with running(again.folder, tmp_path / "run2") as session:
        assert session.execute("SELECT i FROM kept ORDER BY i").fetchall() == [(1,), (2,)]
