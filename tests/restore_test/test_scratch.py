"""Verification by restore on real servers: a good backup passes, a damage that only a restore finds is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backup.verify import Verified
from harness.core.errors import UsageError
from harness.core.journal import MemoryJournal
from harness.estate.config import Config
from harness.physical.backup import take_physical
from harness.postgres import server as postgres
from harness.restore_test.scratch import amcheck as module
from harness.restore_test.scratch.outcome import Scratch
from harness.restore_test.scratch.verify import verify_restored
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive, folder_of
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, recipients
from tests.servers import DatabaseServer, start_database

__all__ = ["recipients"]

ASSERTED = {"shop": {"assertions": [{"name": "kept", "query": "SELECT count(*) FROM kept", "at_least": 1}]}}


def config(**databases: object) -> Config:
    sites = {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}}
    data = {"estate": {"name": "shop", "zone": "shop.test"}, "sites": sites, "services": {}, "databases": databases}
    return Config.model_validate(data)


@pytest.fixture(scope="module")
def primary(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    """A server whose pages have no checksums, so that a base backup notices no damage of them."""
    with pytest.MonkeyPatch.context() as patch:
        words = tuple("--no-data-checksums" if one == "--data-checksums" else one for one in postgres.FIRST_RUN)
        patch.setattr(postgres, "FIRST_RUN", words)
        made = start_database(substrate.site("primary"), tmp_path_factory.mktemp("primary"))
    made.execute("postgres", "ALTER SYSTEM SET summarize_wal = on", "ALTER SYSTEM SET autovacuum = off",
                 "SELECT pg_reload_conf()", "CREATE DATABASE shop")  # fmt: skip
    make = "CREATE TABLE {} AS SELECT i AS id, repeat(chr(65 + i % 26), 50) AS line FROM generate_series(1, 3000) i"
    for name in ("kept", "damaged", "unindexed"):
        made.execute("shop", make.format(name), f"CREATE INDEX {name}_id ON {name} (id)", f"VACUUM FREEZE {name}")
    made.execute("shop", "CREATE INDEX words ON kept USING gin (to_tsvector('simple', line))", "CHECKPOINT")
    return made


@pytest.fixture
def archive(primary: DatabaseServer, recipients: Recipients) -> Archive:
    return Archive(primary, recipients.repository(MemoryStore()), recipients)


def scratch(archive: Archive, home: Path, declared: Config | None = None) -> Scratch:
    return Scratch(
        archive.repository, archive.keys.dr[0], declared or config(), home / "runs", home / "logs", MemoryJournal(),
        lambda _count: None,
    )  # fmt: skip


def verified(place: Scratch, *, every: bool = False, only: str = "") -> Sequence[Verified]:
    found = list(verify_restored(place, every=every, only=only))
    assert list(place.runs.iterdir()) == [], "nothing of a restore stays"
    return found


def wrong(found: Sequence[Verified]) -> list[str]:
    return [one.said for one in found if one.wrong]


def test_a_full_and_an_incremental_backup_pass_and_are_not_restored_again(archive: Archive, tmp_path: Path) -> None:
    full = take_physical(archive.source, MemoryJournal()).backup_id
    archive.db.execute("shop", "INSERT INTO kept VALUES (4000, 'later')")
    chained = take_physical(archive.source, MemoryJournal(), incremental=True).backup_id
    place = scratch(archive, tmp_path, config(**ASSERTED))
    found = verified(place)
    assert wrong(found) == []
    said = {one.backup: one.said for one in found if not one.said.startswith("NOTE: ")}
    assert "tables with 9001 rows read; B-tree indexes agree with them" in said[chained]
    assert "tables with 9000 rows read" in said[full]
    notes = [one.said for one in found if one.said.startswith("NOTE: ")]
    assert notes == ["NOTE: database shop: no check exists for 1 indexes of kind gin"] * 2
    placed = [event.facts["files"] for event in place.journal.events if event.kind == "placed"]
    assert placed[1] == 1, "of an older backup its own WAL alone is fetched"
    again = verified(place)
    assert [one.said.partition(" ")[0] for one in again[:2]] == ["restored", "restored"]
    assert all(one.said.endswith("UTC; its objects are there") for one in again[:2])
    assert [one.backup for one in verified(place, only=full)][:1] == [full]
    with pytest.raises(UsageError, match="--backup gone: there is no such backup"):
        verified(place, only="gone")


@pytest.mark.night
def test_an_assertion_that_does_not_hold_is_a_finding_of_the_newest(archive: Archive, tmp_path: Path) -> None:
    take_physical(archive.source, MemoryJournal())
    never = {"assertions": [{"name": "many", "query": "SELECT count(*) FROM kept", "at_least": 99999}]}
    place = scratch(archive, tmp_path, config(shop=never))
    (found,) = wrong(verified(place))
    assert found.startswith("NOT VALID: database shop: many: FAILED: returned 300")
    assert len(wrong(verified(place))) == 1, "what did not pass is restored again"


def test_an_index_that_lacks_rows_is_named(archive: Archive, tmp_path: Path) -> None:
    ready = "UPDATE pg_index SET indisready = {} WHERE indexrelid = 'unindexed_id'::regclass"
    insert = "INSERT INTO unindexed VALUES (5000, 'in no index')"
    archive.db.execute("shop", ready.format("false"), insert, ready.format("true"))
    try:
        take_physical(archive.source, MemoryJournal())
        (found,) = wrong(verified(scratch(archive, tmp_path)))
    finally:
        archive.db.execute("shop", "REINDEX INDEX unindexed_id")
    assert found.startswith("NOT VALID: database shop: index public.unindexed_id: heap tuple ")
    assert "lacks matching index tuple" in found
    assert "REINDEX INDEX on the primary" in found


def test_a_damaged_page_is_named_with_its_table(archive: Archive, tmp_path: Path) -> None:
    file = folder_of(archive.db) / str(archive.db.one("shop", "SELECT pg_relation_filepath('damaged')"))
    archive.db.execute("shop", "CHECKPOINT")
    before = file.read_bytes()
    with file.open("r+b") as opened:
        opened.seek(8192 + 24)  # the first line pointer of the second page: in use, and out of the page
        opened.write((0x7FF8 | 1 << 15 | 100 << 17).to_bytes(4, "little"))
    try:
        take_physical(archive.source, MemoryJournal())
        found = wrong(verified(scratch(archive, tmp_path)))
    finally:
        file.write_bytes(before)
    assert any(one.startswith("NOT VALID: database shop: table public.damaged: ") for one in found), found
    assert all("restore the table from an earlier backup" in one for one in found if "table public.damaged" in one)
    assert not any("kept" in one for one in found)


@pytest.mark.night
def test_what_cannot_be_checked_has_not_passed(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_physical(archive.source, MemoryJournal())
    place = scratch(archive, tmp_path)
    monkeypatch.setattr(module, "AVAILABLE", module.AVAILABLE.replace("'amcheck'", "'no such'"))
    (found,) = wrong(verified(place))
    assert found.startswith("NOT CHECKED: tables and indexes were not checked: PostgreSQL 18 in ")
    assert "lacks the extension amcheck" in found
    monkeypatch.undo()
    monkeypatch.setattr("harness.physical.programs.client_programs", lambda: ())
    (found,) = wrong(verified(place))
    assert found.startswith("NOT CHECKED: could not be restored here: postgres of PostgreSQL 18 is missing")
    monkeypatch.undo()
    assert wrong(verified(replace(place))) == []
