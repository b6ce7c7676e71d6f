"""`wal push` ships what archive_command is given, and refuses what is not of this server."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import BackupFailed, HarnessError, UsageError
from harness.core.wal import SEGMENT, place_of_segment
from harness.physical.push import covered_until, push
from harness.physical.receive import Keys
from harness.physical.source import system_beside
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.reader import WalReader
from tests.physical.conftest import Archive, folder_of
from tests.repository.memory_store import MemoryStore

SIZE = 16 << 20


@pytest.fixture
def finished(archive: Archive) -> Path:
    """Return the newest finished segment of the server."""
    archive.db.execute("postgres", "CREATE TABLE IF NOT EXISTS pushed (i int)", "SELECT pg_switch_wal()")
    name = archive.db.one("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn() - 16777216)")
    archive.db.execute("postgres", "INSERT INTO pushed VALUES (1)")
    path = folder_of(archive.db) / "pg_wal" / str(name)
    assert SEGMENT.fullmatch(path.name)
    return path


def keys_of(archive: Archive) -> Keys:
    return Keys(archive.keys.public, archive.keys.writer[0].decode())


def test_a_segment_is_stored_once(archive: Archive, finished: Path) -> None:
    system = system_beside(finished)
    assert system == archive.db.one("postgres", "SELECT system_identifier::text FROM pg_control_system()")
    assert push(finished, archive.repository, keys_of(archive), system) == f"{finished.name}: stored"
    objects = len(list(archive.repository.store.list("")))
    assert push(finished, archive.repository, keys_of(archive), system) == f"{finished.name}: is in the repository"
    assert len(list(archive.repository.store.list(""))) == objects
    catalogue = read_wal(archive.repository)
    (shipped,) = catalogue.segments[place_of_segment(finished.name, SIZE)]
    assert WalReader(archive.repository, archive.keys.dr[0]).read(shipped) == finished.read_bytes()
    assert wal_findings(archive.repository, catalogue) == ()


def test_a_pushed_segment_says_up_to_when_the_wal_is_complete(
    archive: Archive, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = SYSTEM.wall() - timedelta(minutes=10)
    push(finished, archive.repository, keys_of(archive), system_beside(finished))
    _, start = place_of_segment(finished.name, SIZE)
    covered = read_wal(archive.repository).covered_until(1, start + SIZE)
    assert covered == datetime.fromtimestamp(finished.stat().st_mtime, UTC)
    assert before < covered <= SYSTEM.wall()
    assert covered_until(finished) == covered
    with monkeypatch.context() as changed:
        changed.setattr("harness.physical.source.IN_PRODUCTION", 5)  # as a standby's control file
        assert covered_until(finished) is None
    history = finished.with_name("00000002.history")  # the segment is of an earlier timeline
    history.write_bytes(b"1\t0/9000000\tpromoted\n")
    try:
        assert covered_until(finished) is None
    finally:
        history.unlink()
    os.utime(finished, (0, 0))  # written before the server began to run: by a copy, or by another server
    assert covered_until(finished) is None


def test_a_pushed_copy_of_a_segment_says_nothing_of_time(archive: Archive, finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / finished.name
    copy.write_bytes(finished.read_bytes())
    push(copy, archive.repository, keys_of(archive), system_beside(finished))
    assert [one.covered_until for one in read_wal(archive.repository).lists] == [None]


@dataclass(slots=True)
class LockingStore(MemoryStore):
    """A store that notes which objects are locked."""

    locks: bool = True
    locked: dict[str, datetime] = field(default_factory=dict)

    def lock(self, key: str, until: datetime) -> None:
        self.locked[key] = until


def test_what_is_pushed_is_locked(archive: Archive, finished: Path, tmp_path: Path) -> None:
    store = LockingStore()
    repository, keys, system = archive.keys.repository(store), keys_of(archive), system_beside(finished)
    push(finished, repository, keys, system, timedelta(days=3))
    history = tmp_path / "00000002.history"
    history.write_bytes(b"1\t0/9000000\tno recovery target specified\n")
    push(history, repository, keys, system, timedelta(days=3))
    assert set(store.locked) == {one.key for one in store.list("")}
    assert all(until > SYSTEM.wall() + timedelta(days=2) for until in store.locked.values())


def test_what_is_no_segment_of_this_server_is_refused(archive: Archive, finished: Path, tmp_path: Path) -> None:
    system, keys = system_beside(finished), keys_of(archive)
    other = tmp_path / "000000010000000000000077"
    other.write_bytes(finished.read_bytes())
    short = tmp_path / finished.name
    short.write_bytes(finished.read_bytes()[:-1])
    newer = tmp_path / f"00000009{finished.name[8:]}"
    newer.write_bytes(finished.read_bytes())
    empty = tmp_path / "000000010000000000000078"
    empty.write_bytes(b"")
    for path, of, reason in (
        (finished, "42", f"of database system {system}, the server's is 42"),
        (other, system, "not the segment of this name"),
        (short, system, "not the segment of this name"),
        (newer, system, "contains WAL of timeline 1"),
        (empty, system, "too few for a WAL segment"),
    ):
        with pytest.raises(BackupFailed, match=reason):
            push(path, archive.repository, keys, of)
    for path, reason in ((tmp_path / "notes.txt", "neither a WAL segment"), (tmp_path / ("0" * 24), "cannot be read")):
        with pytest.raises(UsageError, match=reason):
            push(path, archive.repository, keys, system)
    assert list(archive.repository.store.list("")) == []


def test_other_contents_under_the_same_name_are_refused(archive: Archive, finished: Path, tmp_path: Path) -> None:
    system, keys = system_beside(finished), keys_of(archive)
    push(finished, archive.repository, keys, system)
    changed = tmp_path / finished.name
    changed.write_bytes(finished.read_bytes()[:-1] + b"x")
    with pytest.raises(BackupFailed, match="with other contents"):
        push(changed, archive.repository, keys, system)


def test_a_history_follows_the_first_segment(archive: Archive, finished: Path, tmp_path: Path) -> None:
    system, keys = system_beside(finished), keys_of(archive)
    history = tmp_path / "00000002.history"
    history.write_bytes(b"1\t0/9000000\tno recovery target specified\n")
    with pytest.raises(HarnessError, match="no segment is in the repository yet"):
        push(history, archive.repository, keys, system)
    push(finished, archive.repository, keys, system)
    assert push(history, archive.repository, keys, system) == "00000002.history: stored"
    assert push(history, archive.repository, keys, system) == "00000002.history: is in the repository"
    assert [one.at for one in read_wal(archive.repository).histories[2].entry.switches] == [0x9000000]
    label = tmp_path / f"{finished.name}.00000028.backup"
    assert "not needed" in push(label, archive.repository, keys, system)


def test_a_file_that_is_in_no_data_directory_has_no_system(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no global/pg_control beside its folder"):
        system_beside(tmp_path / "pg_wal" / ("0" * 24))
