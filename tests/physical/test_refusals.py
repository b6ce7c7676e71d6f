"""What a base backup, its WAL and the folder for it must be, each refusal with its message. No server is needed."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from harness.core.contents import Needs
from harness.core.errors import BackupFailed, HarnessError, RestoreFailed, Unreadable, UsageError
from harness.core.wal import show_lsn
from harness.estate.secrets import SIGNING_KEY
from harness.physical import preflight
from harness.physical import restore as restoring
from harness.physical.archive import members
from harness.physical.choice import _follow, way_from
from harness.physical.incremental.parts import NAMES, parts_of, require_parts
from harness.physical.private_server import Unreached
from harness.physical.source import _connections, source_at
from harness.physical.target import read_target
from harness.physical.unpack import VERSION, _extract, made, require_empty, require_room, spaces_of, tablespaces_of
from harness.postgres.replication import base
from harness.postgres.replication.base import BaseBackup
from harness.postgres.replication.stream import WalStream, drop_slot, make_slot, slot_of
from harness.repository.wal.catalogue import Leg, WalCatalogue

SIZE = 1 << 20


def folder_with(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / name).write_text("18\n")
    return folder


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda at: folder_with(at / "full", "notes.txt"), "is not empty, and nothing is restored over it"),
        (lambda at: folder_with(at / "cluster", VERSION), "has a database server's data"),
        (lambda at: folder_with(at / "outer", VERSION) / "base", "is inside the data directory"),
        (lambda at: folder_with(at / "other", "file") / "file", "is no folder"),
        (lambda at: at / "missing" / "new", "its parent folder does not exist"),
    ],
)
def test_a_folder_that_cannot_be_restored_into_is_refused(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        require_empty(make(tmp_path))


def test_a_link_is_no_folder_to_restore_into(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    require_empty(tmp_path / "real")
    with pytest.raises(UsageError, match="link: is no folder; name a new one"):
        require_empty(tmp_path / "link")


def test_the_disk_must_have_room(tmp_path: Path) -> None:
    require_room(tmp_path, 1)
    with pytest.raises(UsageError, match="MiB are needed; name another disk"):
        require_room(tmp_path, 1 << 60)


def test_tablespaces_of_another_restore_are_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    spaces_of(folder).mkdir()
    (spaces_of(folder) / "kept").write_text("x")
    with pytest.raises(UsageError, match="data-tablespaces: is not empty"), made(folder):
        raise AssertionError("nothing may be written")
    assert (spaces_of(folder) / "kept").read_text() == "x"
    assert not folder.exists()


@pytest.mark.parametrize("name", ["/outside", "a/../../outside", "../outside", "tablespace_map", "./tablespace_map"])
def test_no_member_of_a_base_backup_leads_out_of_the_data_folder(tmp_path: Path, name: str) -> None:
    text, into = io.BytesIO(), tmp_path / "data"
    into.mkdir()
    (into / "a").mkdir()
    with tarfile.open(fileobj=text, mode="w") as archive:
        member = tarfile.TarInfo(name)
        archive.addfile(member, io.BytesIO(b""))
    with pytest.raises(RestoreFailed, match=r"(a path that leads|would lead tablespaces) out of the data folder"):
        list(_extract(members("base.tar", [text.getvalue()]), into, {}, again=False))
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["a", "data"]


def test_what_was_fetched_of_other_backups_is_not_continued(tmp_path: Path) -> None:
    folder, chain = tmp_path / "data", (SimpleNamespace(backup_id="one", manifest=None),)
    place = parts_of(folder)
    require_parts(folder, chain)  # type: ignore[arg-type]
    place.mkdir()
    (place / "other").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        require_parts(folder, chain)  # type: ignore[arg-type]
    (place / NAMES).write_text('["another"]')
    with pytest.raises(UsageError, match="has what was fetched of other backups; remove it"):
        require_parts(folder, chain)  # type: ignore[arg-type]


def backup(physical: object, cluster: str = "7391") -> Any:
    contents = SimpleNamespace(physical=physical)
    return SimpleNamespace(backup_id="one", manifest=SimpleNamespace(contents=contents, cluster=cluster))


class Wal(WalCatalogue):
    """Shipped WAL that reaches up to a position on each timeline."""

    ends: ClassVar[dict[int, int]] = {}

    @property
    def segment_size(self) -> int:
        return SIZE

    def reach(self, leg: Leg) -> tuple[int, tuple[Any, ...]]:
        return self.ends.get(leg.timeline, leg.start), ("file",) if leg.timeline in self.ends else ()

    def lacking(self, timeline: int, start: int, stop: int) -> str:
        return "" if self.ends.get(timeline, 0) >= stop else f"the WAL up to {show_lsn(stop)}"


def reaching(wal: Wal, ends: dict[int, int]) -> None:
    wal.ends.clear()
    wal.ends.update(ends)


@pytest.fixture
def wal() -> Wal:
    history = SimpleNamespace(entry=SimpleNamespace(switches=(SimpleNamespace(timeline=1, at=3 * SIZE),)))
    made = Wal("7391", {(1, 0): (), (2, 3 * SIZE): ()}, {2: history}, (), None)  # type: ignore[dict-item]
    reaching(made, {1: 4 * SIZE, 2: 5 * SIZE})
    return made


def test_a_way_begins_at_a_physical_backup_of_the_same_system_with_its_own_wal(wal: Wal) -> None:
    facts = SimpleNamespace(timeline=1, start=SIZE, stop=2 * SIZE)
    for one, said in (
        (backup(None), "its manifest is of a logical backup"),
        (backup(facts, "42"), "the newest backup is of database system 7391, this one of 42"),
        (backup(SimpleNamespace(timeline=1, start=SIZE, stop=9 * SIZE)), "the WAL up to 0/900000"),
    ):
        with pytest.raises(Unreadable, match=said):
            way_from(one, wal, 0)
    with pytest.raises(Unreadable, match="backup one: its manifest is of a logical backup"):
        tablespaces_of(backup(None))


def test_a_way_has_no_hole_before_its_last_timeline(wal: Wal) -> None:
    legs = wal.way_to(1, SIZE, 2)
    end, files = _follow(wal, legs)
    assert (end, len(files)) == (5 * SIZE, 2)
    reaching(wal, {1: 2 * SIZE, 2: 5 * SIZE})
    with pytest.raises(Unreadable, match="timeline 1 is there up to 0/200000 only, and ends at 0/300000"):
        _follow(wal, legs)
    reaching(wal, {1: 4 * SIZE})
    with pytest.raises(Unreadable, match="timeline 2: its first segment is not in the repository"):
        _follow(wal, legs)


def test_a_timeline_that_left_before_the_backup_is_no_way(wal: Wal) -> None:
    with pytest.raises(Unreadable, match="timeline 2 left timeline 1 at 0/300000, before 0/400000 of timeline 1"):
        wal.way_to(1, 4 * SIZE, 2)
    with pytest.raises(Unreadable, match="timeline 2 does not come from timeline 3"):
        wal.way_to(3, SIZE, 2)
    wal.histories[2].entry.switches = (SimpleNamespace(timeline=2, at=3 * SIZE),)  # type: ignore[assignment]
    with pytest.raises(Unreadable, match="timeline 2 left timeline 2 at 0/300000, before 0/100000 of timeline 1"):
        wal.way_to(1, SIZE, 2)


class Server:
    """A server that answers a base backup with these messages, then with these results."""

    where = "PostgreSQL at db:5432"

    def __init__(self, messages: list[bytes], results: list[object]) -> None:
        self.messages, self.results = messages, results

    def receive(self) -> bytes | None:
        return self.messages.pop(0) if self.messages else None

    def result(self) -> object:
        return self.results.pop(0) if self.results else None


@pytest.mark.parametrize(
    ("messages", "rows", "said"),
    [
        ([], [("0/1", "1")], "the base backup ended without a manifest"),
        ([b"dxx"], [("0/1", "1")], "the base backup ended without a manifest"),
        ([b"m"], [], "the base backup ended without its last position"),
        ([b"m"], [("0/1", "2")], "went over to timeline 2 during the base backup"),
    ],
)
def test_a_base_backup_ends_with_its_manifest_and_its_position(
    monkeypatch: pytest.MonkeyPatch, messages: list[bytes], rows: list[tuple[str, str]], said: str
) -> None:
    monkeypatch.setattr(BaseBackup, "_next", lambda self: self.connection.receive())
    monkeypatch.setattr(base, "rows_of", lambda result: result)
    good: Any = Server([b"m"], [[("0/2000000", "1")]])
    whole = BaseBackup(good, 1, 0, ())
    assert list(whole.archives()) == []
    assert whole.stop == 0x2000000
    other: Any = Server(list(messages), [rows])
    with pytest.raises(BackupFailed, match=said):
        list(BaseBackup(other, 1, 0, ()).archives())


@pytest.mark.parametrize("name", ["", "Slot", "a b", "a;DROP", 'a"', "a" * 64])
def test_only_a_plain_name_of_a_slot_gets_into_a_command(name: str) -> None:
    asked: list[str] = []

    def ask(text: str) -> tuple[tuple[str, ...], ...]:
        asked.append(text)
        return (("", "", ""),)

    connection: Any = SimpleNamespace(ask=ask, send=asked.append, result=lambda: None, where="db")
    stream = WalStream.__new__(WalStream)
    stream.connection, stream.timeline = connection, 1
    calls: tuple[Callable[[], object], ...] = (
        lambda: slot_of(connection, name),
        lambda: make_slot(connection, name),
        lambda: drop_slot(connection, name),
        lambda: stream.begin(name, 0),
    )
    for call in calls:
        with pytest.raises(HarnessError, match="use small letters, digits and '_', at most 63"):
            call()
    assert asked == []


def test_a_primary_without_a_writers_key_or_with_a_read_only_repository_is_no_source() -> None:
    site = SimpleNamespace(site=SimpleNamespace(name="primary"), secrets={})
    with pytest.raises(UsageError, match=f"site primary: no secret {SIGNING_KEY}; make it with"):
        source_at(SimpleNamespace(primary=site))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="read_only: nothing can be written; set it to false for backups"):
        _connections(SimpleNamespace(), SimpleNamespace(read_only=True), {})  # type: ignore[arg-type]


def test_every_obstacle_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = folder_with(tmp_path / "full", "notes.txt")
    contents = SimpleNamespace(system=SimpleNamespace(major=18))
    whole = SimpleNamespace(backup_id="one", manifest=SimpleNamespace(contents=contents))
    facts = SimpleNamespace(needs=Needs())
    way: Any = SimpleNamespace(parents=(), backup=whole, facts=facts, size=lambda: 1 << 60)
    programs: Any = object()
    monkeypatch.setattr(preflight, "programs_of", lambda _major, _tags: programs)
    with pytest.raises(UsageError, match=r"full: is not empty.*; --into .*full: \d+ MiB are free"):
        preflight.preflight(way, full, None, elsewhere=False, database="")
    way.size = lambda: 0
    assert preflight.preflight(way, tmp_path / "new", None, elsewhere=False, database="") == (programs, ())


def replayed(
    monkeypatch: pytest.MonkeyPatch, reached: int, target: str = "latest", *, again: int = 0, covered: bool = False
) -> int:
    """Return the position of a replay that ends at `reached`; `again`: it misses the target, and then ends there."""
    ends = [reached, again] if again else [reached]

    def replay(*words: Any) -> Any:
        at = ends.pop(0)
        if ends:
            raise Unreached("the target is not there")
        return SimpleNamespace(position=at)

    monkeypatch.setattr(restoring, "replay", replay)
    until = datetime(2026, 1, 2, tzinfo=UTC) if covered else None
    facts = SimpleNamespace(start=5, superuser="postgres")
    way: Any = SimpleNamespace(end=9, files=(), facts=facts, timeline=1, covered_until=until, name="one")
    wanted: Any = SimpleNamespace(target=read_target(target))
    journal: Any = SimpleNamespace(mark=lambda *_words, **_facts: None)
    return restoring.replay_way(way, wanted, Path("nowhere"), None, journal).position  # type: ignore[arg-type]


def test_a_replay_that_ends_early_is_no_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    assert replayed(monkeypatch, 5) == 5
    with pytest.raises(RestoreFailed, match="the replay ended at 0/4, the repository has WAL up to 0/9"):
        replayed(monkeypatch, 4)
    assert replayed(monkeypatch, 7, "lsn=0/7") == 7
    with pytest.raises(RestoreFailed, match="replayed up to 0/6 only"):
        replayed(monkeypatch, 6, "lsn=0/7")
    time = "time=2026-01-01T00:00:00Z"
    assert replayed(monkeypatch, 5, time, again=6, covered=True) == 6
    with pytest.raises(RestoreFailed, match="the replay ended at 0/3"):
        replayed(monkeypatch, 5, time, again=3, covered=True)
    with pytest.raises(Unreached):
        replayed(monkeypatch, 5, time, again=6)
