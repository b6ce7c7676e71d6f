"""Which physical backup is restored: the newest of the newest server, and what was passed over is a finding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.backup.status import server_state, status_of
from harness.backup.verify import verify_all
from harness.core.errors import NoValidBackup
from harness.core.journal import MemoryJournal
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.restore import PointInTime, restore
from harness.physical.target import read_target
from harness.recovery.choose_server import choose_server
from harness.repository.catalogue import Repository
from harness.repository.upkeep.wal import reap_wal
from harness.repository.wal.catalogue import read_systems
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import start_database


def latest(archive: Archive, folder: Path, backup_id: str = "") -> PointInTime:
    wanted = Wanted(read_target("latest"), backup_id)
    return restore(archive.repository, archive.keys.dr[0], wanted, folder, MemoryJournal())


def test_a_newer_backup_that_is_damaged_or_deleted_is_a_finding(archive: Archive, tmp_path: Path) -> None:
    older, newer = (take_physical(archive.source, MemoryJournal()) for _ in range(2))
    store = archive.repository.store
    store.put(newer.path, (b"nonsense",))
    done = latest(archive, tmp_path / "damaged")
    assert done.backup_id == older.backup_id
    assert any(line.startswith(f"a newer backup was passed over: {newer.backup_id}: ") for line in done.findings)
    done = latest(archive, tmp_path / "named", older.backup_id)
    assert not any("passed over" in line for line in done.findings)
    with pytest.raises(NoValidBackup, match=f"{newer.backup_id} is no physical backup"):
        latest(archive, tmp_path / "none", newer.backup_id)
    store.delete(newer.path)
    done = latest(archive, tmp_path / "deleted")
    assert any(f"backup {newer.backup_id} (number 2), the newest known, is not in" in one for one in done.findings)


def test_a_newer_backup_that_cannot_be_opened_is_a_finding(archive: Archive, tmp_path: Path) -> None:
    older, newer = (take_physical(archive.source, MemoryJournal()) for _ in range(2))
    layout, store = archive.repository.layout, archive.repository.store
    store.put(layout.manifest(newer.backup_id), (b"nonsense",))
    done = latest(archive, tmp_path / "data")
    assert done.backup_id == older.backup_id
    assert [line for line in done.findings if newer.backup_id in line]


def test_the_backup_of_a_server_that_was_made_anew_is_restored(
    archive: Archive, substrate: Embedded, tmp_path: Path, recipients: Recipients
) -> None:
    repository: Repository = recipients.repository(MemoryStore())
    old = replace(archive, repository=repository)
    take_physical(old.source, MemoryJournal())
    before = take_physical(old.source, MemoryJournal())  # its lists have higher numbers
    new = Archive(start_database(substrate.site("anew"), tmp_path), repository, recipients)
    after = take_physical(new.source, MemoryJournal())
    done = latest(new, tmp_path / "data")
    assert done.backup_id == after.backup_id
    assert any("another server ships there" in line for line in done.findings)
    assert latest(new, tmp_path / "old", before.backup_id).backup_id == before.backup_id
    # With both declared, as after a failback, neither WAL nor backups of one are a finding about the other.
    systems = (before.contents.system.identifier, after.contents.system.identifier)
    assert len({*systems}) == 2
    declared = replace(repository, trust=replace(repository.trust, systems=systems))
    done = latest(replace(new, repository=declared), tmp_path / "declared")
    assert (done.backup_id, done.findings) == (after.backup_id, ())
    lines = list(verify_all(declared, recipients.dr[0], every=True))
    assert not [line for line in lines if line.wrong]
    assert [line.backup for line in lines][-2:] == ["WAL", "WAL"]
    state = server_state(new.source.sql, new.source.slot)
    assert not [line for line in status_of(declared, lambda: state, "0 0 3 * * *", 30.0).alarms if "WAL of" in line]
    # Both are followed by the witness from their first segment on: the list of either cannot be deleted unnoticed.
    for wal in read_systems(declared):
        assert wal.head is not None
        key = declared.layout.wal_list(wal.head.sequence, wal.head.run)
        text = b"".join(declared.store.get(key))
        declared.store.delete(key)
        said = [line.said for line in verify_all(declared, recipients.dr[0], every=False) if line.wrong]
        assert any(
            f"batch {wal.head.sequence} of WAL (run {wal.head.run}), which was seen before" in one for one in said
        )
        assert reap_wal(declared, 0.0) == ()
        declared.store.put(key, (text,))


def test_a_backup_that_is_sealed_to_other_keys_is_no_finding_where_another_can_be_restored(archive: Archive) -> None:
    dr = Recipients(writer=archive.keys.writer)  # as after a failback: the site before had keys of its own
    before = take_physical(archive.source, MemoryJournal())
    after = take_physical(replace(archive, keys=dr).source, MemoryJournal())
    chosen = choose_server(archive.repository, dr.dr[0].decode(), after.contents)
    assert [way.name for way in chosen.ways] == [after.backup_id]
    assert chosen.findings == ()
    chosen = choose_server(archive.repository, Recipients().dr[0].decode(), after.contents)
    assert chosen.ways == ()
    for one in (before, after):
        assert any(f"{one.backup_id}: key " in line and "does not open it" in line for line in chosen.findings)


def test_dumps_of_a_server_that_was_promoted_are_not_passed_over_for_wal_of_the_one_before(archive: Archive) -> None:
    """The one before lived on and shipped: its WAL is newer than the dumps, and has nothing of the promoted server."""
    receipt = take_physical(archive.source, MemoryJournal())
    key, dumps = archive.keys.dr[0].decode(), receipt.contents
    assert [way.name for way in choose_server(archive.repository, key, dumps).ways] == [receipt.backup_id]
    promoted = replace(dumps, system=replace(dumps.system, timeline=dumps.system.timeline + 1))
    chosen = choose_server(archive.repository, key, promoted)
    assert chosen.ways == ()
    assert "its WAL is of timeline 1, the dumps are of 2: a server was promoted in between" in chosen.findings[0]
