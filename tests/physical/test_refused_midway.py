"""What goes wrong while a backup, its combination or its replay is under way is refused, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import BackupFailed, HarnessError, RestoreFailed, Unreadable, UsageError
from harness.core.journal import MemoryJournal
from harness.physical import backup as taking
from harness.physical import receive, server
from harness.physical.choice import Way
from harness.physical.incremental import combine as combining
from harness.physical.incremental.parent import _require_before
from harness.physical.incremental.parts import NAMES, kept_parts, parts_of
from harness.physical.private_server import Running, State, running_server
from harness.physical.programs import Programs
from harness.physical.receive import Receiver
from harness.physical.shipper import Part, Shipper
from harness.physical.source import PhysicalSource
from harness.repository.wal.writer import begin_wal
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients

SIZE = 1 << 20
NOTHING: Any = None


def part(name: str) -> Any:
    contents = SimpleNamespace(physical=SimpleNamespace(tablespaces=()))
    return SimpleNamespace(backup_id=name, manifest=SimpleNamespace(contents=contents, plain_size=1))


@dataclass
class Verifies:
    """Programs of which pg_verifybackup refuses a folder of that name. `ran`: what ran."""

    refused: str
    major: int = 18
    ran: list[str] = field(default_factory=list)

    def run(self, name: str, *words: str) -> str:
        self.ran.append(name)
        if name == "pg_verifybackup" and Path(words[-1]).name == self.refused:
            raise RestoreFailed("pg_verifybackup: checksum mismatch")
        return ""


@pytest.mark.parametrize(
    ("refused", "said", "combined"), [("1", "backup newer: ", False), ("data", "backup newer: ", True)]
)
def test_a_chain_is_verified_part_by_part_and_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, said: str, combined: bool
) -> None:
    monkeypatch.setattr(combining, "unpack", lambda *_words: None)
    programs, chain = Verifies(refused), (part("older"), part("newer"))
    with pytest.raises(RestoreFailed, match=f"{said}pg_verifybackup: checksum mismatch"):
        combining.combine(chain, tmp_path / "data", programs, MemoryJournal())  # type: ignore[arg-type]
    assert ("pg_combinebackup" in programs.ran) is combined


def test_the_parts_of_another_chain_are_not_continued(tmp_path: Path) -> None:
    place = parts_of(tmp_path / "data")
    place.mkdir()
    (place / NAMES).write_text('["another"]')
    with (
        pytest.raises(UsageError, match="has what was fetched of other backups; remove it"),
        kept_parts(tmp_path / "data", (part("one"),), keep=True),
    ):
        pytest.fail("begun")
    assert (place / NAMES).read_text() == '["another"]'


def shipped(start: int, timeline: int = 1) -> Any:
    return SimpleNamespace(entry=SimpleNamespace(start=start, timeline=timeline))


def test_a_way_is_cut_only_behind_what_the_backup_needs_and_on_its_last_timeline() -> None:
    files = (shipped(0), shipped(SIZE), shipped(2 * SIZE))
    way = Way(NOTHING, SimpleNamespace(stop=SIZE), 1, 3 * SIZE, None, files, ())  # type: ignore[arg-type]
    left = way.until(files[:2], "gone")
    assert (left.end, left.files) == (2 * SIZE, files[:2])
    assert left.lost[0].startswith("gone; it and all WAL after it is lost, from 0/200000 to 0/300000 on timeline 1")
    turned = Way(NOTHING, SimpleNamespace(stop=SIZE), 2, 3 * SIZE, None, files, ())  # type: ignore[arg-type]
    needed = Way(NOTHING, SimpleNamespace(stop=3 * SIZE), 1, 3 * SIZE, None, files, ())  # type: ignore[arg-type]
    later = Way(NOTHING, SimpleNamespace(stop=0), 1, 3 * SIZE, None, files, ())  # type: ignore[arg-type]
    for one, count in ((turned, 2), (needed, 2), (later, 0)):
        with pytest.raises(Unreadable, match=r"^gone$"):
            one.until(files[:count], "gone")


def test_no_backup_builds_on_one_of_a_later_state() -> None:
    identity: Any = SimpleNamespace(timeline=1, position="0/200000")
    _require_before(SimpleNamespace(base=SimpleNamespace(timeline=1, stop=2 * SIZE)), identity)  # type: ignore[arg-type]
    for base, said in (
        (SimpleNamespace(timeline=1, stop=2 * SIZE + 1), "has later WAL than the server: the server was put back"),
        (SimpleNamespace(timeline=2, stop=SIZE), "is of timeline 2, the server is on 1"),
        (None, "is of timeline 0, the server is on 1"),
    ):
        with pytest.raises(Unreadable, match=said):
            _require_before(SimpleNamespace(base=base), identity)  # type: ignore[arg-type]


def test_one_server_is_asked_and_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a name with two hosts one may answer the questions, and the other send its data."""

    @contextmanager
    def replication(*_words: object) -> Iterator[Any]:
        yield SimpleNamespace(identify=lambda: SimpleNamespace(system="7391"))

    source = PhysicalSource("shop", "db:5432", NOTHING, NOTHING, None)  # type: ignore[arg-type]
    monkeypatch.setattr(taking, "require", lambda sql, *_words, **_more: sql)
    monkeypatch.setattr(taking, "_ask", lambda *_words: None)
    monkeypatch.setattr(taking, "_reap", lambda *_words: None)
    monkeypatch.setattr(taking, "system_facts", lambda _sql: SimpleNamespace(identifier="8000"))
    monkeypatch.setattr(taking, "Replication", replication)
    with pytest.raises(BackupFailed, match="PostgreSQL at db:5432: another server answered; name one host"):
        taking.take_physical(source, MemoryJournal())


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "pg_any").write_text("#!/bin/sh\necho first >&2\necho the last line >&2\nexit 2\n")
    (tmp_path / "pg_mute").write_text("#!/bin/sh\nexit 2\n")
    for name, said in (("pg_any", "the last line"), ("pg_mute", "exit code 2")):
        (tmp_path / name).chmod(0o700)
        with pytest.raises(RestoreFailed, match=f"^{name}: {said}$"):
            Programs(tmp_path, 18, {}).run(name)


def test_a_server_that_does_not_stop_cleanly_is_no_replay(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("postgres", "echo lost >&2; exit 3"), ("pg_controldata", "exit 0")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o700)
    (place := tmp_path / "place").mkdir()
    with (
        pytest.raises(RestoreFailed, match=r"did not stop cleanly \(code 3\): lost"),
        running_server(Programs(programs, 18, {}), tmp_path / "data", place, {}) as process,
    ):
        process.wait(30)


def test_a_server_that_somebody_else_promoted_is_no_standby_and_no_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def runs(*_words: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(
        Running, "state", lambda _running: State(recovering=False, position=0, paused=False, last_commit=None)
    )
    monkeypatch.setattr(server, "running_server", runs)
    monkeypatch.setattr(server, "connect", lambda *_words: pytest.fail("it was connected to"))
    with pytest.raises(RestoreFailed, match="the standby was promoted by somebody else"):
        Running(NOTHING, tmp_path, "postgres").standing()
    with pytest.raises(RestoreFailed, match="promoted before the target was known to be reached"):
        server._replay(Programs(tmp_path, 18), tmp_path, "postgres", {}, {"recovery_target_lsn": "0/1"}, NOTHING)


def offers(shipper: Shipper) -> None:
    shipper.offer(Part(1, 0, b"x", whole=True, covered_until=None))


def ends(shipper: Shipper) -> None:
    with shipper:
        pass


def receives(shipper: Shipper) -> None:
    """Receive from a server that sends nothing, for a receiver that was stopped."""
    receiver: Any = SimpleNamespace(slot="s", until=None, _look=lambda *_words: None, _drained=lambda _piece: True)
    (stop := Event()).set()
    now: Any = SimpleNamespace(timeline=1, start=0, received=0, data=b"")
    Receiver._timeline(receiver, NOTHING, shipper, SIZE, now, stop)


@pytest.mark.parametrize("work", [offers, ends, receives])
def test_a_shipper_that_failed_stops_what_hands_over_to_it(
    monkeypatch: pytest.MonkeyPatch, recipients: Recipients, work: Callable[[Shipper], None]
) -> None:
    repository = recipients.repository(MemoryStore())
    writer = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)
    stream = SimpleNamespace(begin=lambda *_words: None, pieces=lambda _seconds: iter((None,)), after=None)
    monkeypatch.setattr(receive, "WalStream", lambda *_words: stream)
    shipper = Shipper(writer)
    work(shipper)
    shipper._failure = HarnessError("the store is full")
    with pytest.raises(HarnessError, match="the store is full"):
        work(shipper)
