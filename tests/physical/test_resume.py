"""A restore that was interrupted goes on: what was written is not fetched again, and is verified all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, RestoreFailed, UsageError
from harness.core.journal import MemoryJournal
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.incremental.checkpoints import Checkpoints, Reached
from harness.physical.restore import PointInTime, restore
from harness.physical.target import read_target
from harness.repository.pipeline import Start
from tests.physical.conftest import Archive
from tests.physical.test_incremental import summarize
from tests.physical.test_restore import running
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import DatabaseServer

MB = 1 << 20


class Metered(MemoryStore):
    """A store that counts the bytes of each object that were fetched, and fails on request."""

    fetched: dict[str, int]
    failing = ""

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        if self.failing and key.endswith(self.failing):
            raise HarnessError(f"{key}: the store is gone")
        for chunk in MemoryStore.get(self, key, offset, length):
            self.fetched[key] = self.fetched.get(key, 0) + len(chunk)
            yield chunk


@pytest.fixture(scope="module")
def filled(server: DatabaseServer, recipients: Recipients) -> Archive:
    """Return a repository with a full backup of about 100 MB in files of 13 MB, and an incremental one."""
    summarize(server)
    store = Metered()
    store.fetched = {}
    made = Archive(server, recipients.repository(store), recipients)
    rows = (
        "SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 50) j) AS t FROM generate_series"
    )
    server.execute("postgres", *(f"CREATE TABLE {name} AS {rows}(1, 8000) i" for name in ("wide", "a", "b", "c", "d")))
    server.execute("postgres", "CHECKPOINT")
    take_physical(made.source, MemoryJournal())
    server.execute("postgres", "INSERT INTO wide VALUES (0, 'late')")
    take_physical(made.source, MemoryJournal(), incremental=True)
    return made


def restored(
    filled: Archive, folder: Path, backup_id: str, progress: Callable[[int], None] | None = None
) -> tuple[PointInTime, MemoryJournal]:
    wanted, journal = Wanted(read_target("latest"), backup_id), MemoryJournal()
    return restore(filled.repository, filled.keys.dr[0], wanted, folder, journal, progress), journal


def after(limit: int) -> Callable[[int], None]:
    """Return what interrupts once so many bytes were read."""
    read = 0

    def count(size: int) -> None:
        nonlocal read
        read += size
        if read >= limit:
            raise KeyboardInterrupt

    return count


def rows(done: PointInTime, place: Path) -> object:
    with running(done.folder, place) as session:
        return session.execute("SELECT count(*), max(t) FILTER (WHERE i = 0) FROM wide").fetchone()


def test_it_goes_on_from_where_it_was_interrupted(filled: Archive, tmp_path: Path) -> None:
    second, full = filled.repository.committed()
    store, key = filled.repository.store, filled.repository.layout.data(full.backup_id, "base/base.tar")
    assert isinstance(store, Metered)
    (size,) = (one.size for one in store.list(key))
    with pytest.raises(KeyboardInterrupt) as stopped:
        restored(filled, tmp_path / "data", full.backup_id, after(75 * MB))
    assert "the same command goes on from there" in stopped.value.__notes__[0]
    assert [one.name for one in tmp_path.iterdir()] == ["data-parts"]
    with pytest.raises(UsageError, match="has what was fetched of other backups; remove it"):
        restored(filled, tmp_path / "data", second.backup_id)
    store.fetched = {}
    read: list[int] = []
    done, journal = restored(filled, tmp_path / "data", full.backup_id, read.append)
    assert 0 < store.fetched[key] < size - 5 * MB
    (selected,) = (event for event in journal.events if event.kind == "selected")
    assert sum(read) == selected.facts["bytes"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data"]
    assert rows(done, tmp_path / "run") == (8000, None)


def test_a_part_that_was_verified_is_not_fetched_again(filled: Archive, tmp_path: Path) -> None:
    second, full = filled.repository.committed()
    store = filled.repository.store
    assert isinstance(store, Metered)
    store.failing = f"{second.backup_id}/base/base.tar"
    try:
        with pytest.raises(HarnessError, match="the store is gone"):
            restored(filled, tmp_path / "data", second.backup_id)
    finally:
        store.failing = ""
    store.fetched = {}
    done, journal = restored(filled, tmp_path / "data", second.backup_id)
    assert [event.subject for event in journal.events if event.kind == "kept"] == [full.backup_id]
    assert not [key for key in store.fetched if f"data/{full.backup_id}/" in key]
    assert rows(done, tmp_path / "run") == (8001, "late")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "run"]


def test_what_was_changed_meanwhile_is_found_and_nothing_stays(filled: Archive, tmp_path: Path) -> None:
    _, full = filled.repository.committed()
    with pytest.raises(KeyboardInterrupt):
        restored(filled, tmp_path / "data", full.backup_id, after(75 * MB))
    (tmp_path / "data-parts/0/global/1260").write_bytes(b"another password")
    with pytest.raises(RestoreFailed, match=f'backup {full.backup_id}: pg_verifybackup: .*"global/1260"'):
        restored(filled, tmp_path / "data", full.backup_id)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"name": "a"}', '{"name": "a", "offset": -9, "frame": 0, "position": 0}', "\0\xff",
             '{"name": "a", "offset": 1, "frame": 1, "position": 0}',
             '{"name": "a", "offset": 1e999, "frame": 0, "position": 0}'],
)  # fmt: skip
def test_a_checkpoint_that_is_none_ends_them(tmp_path: Path, line: str) -> None:
    good = {"name": "a", "offset": 5 * MB, "frame": 1, "position": 77}
    path = tmp_path / "0.jsonl"
    path.write_text(f"{json.dumps(good)}\n{line}\n{json.dumps(good | {'offset': 6 * MB})}\n", encoding="latin-1")
    found = Checkpoints(path)
    assert found.reached("a") == Reached(5 * MB, Start(1, 77))
    assert found.reached("b") == Reached()
    assert not found.verified
