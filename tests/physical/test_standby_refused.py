"""What no standby can be made of, and what is not promoted: each is refused with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread, Timer
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.journal import MemoryJournal
from harness.patience import PATIENCE
from harness.physical.installation.lacking import Lacking
from harness.physical.standby import follower as module
from harness.physical.standby.folder import Phase, StandbyFolder, State
from harness.physical.standby.follower import Follower, Outdated, _require_newest
from harness.physical.standby.standby import Standby
from harness.substrate.embedded.process_tree import Owner
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, recipients

__all__ = ["recipients"]
FOLLOWING = State(Phase.FOLLOWING, "base", 1, 200, 100, 300)


@pytest.fixture
def folder(tmp_path: Path) -> StandbyFolder:
    found = StandbyFolder(tmp_path / "standby")
    found.make()
    return found


@pytest.fixture
def follower(folder: StandbyFolder, tmp_path: Path, recipients: Recipients) -> Follower:
    return Follower(recipients.repository(MemoryStore()), b"", folder, tmp_path, MemoryJournal(), every=0.1)


def way(**more: Any) -> Any:
    facts = SimpleNamespace(tablespaces=(), superuser="postgres", needs=None)
    backup = SimpleNamespace(manifest=SimpleNamespace(cluster="7391"))
    return SimpleNamespace(
        **{"name": "base", "timeline": 1, "end": 300, "facts": facts, "backup": backup, "size": lambda: 0} | more
    )


@contextmanager
def ends_with(folder: StandbyFolder, last: State) -> Iterator[None]:
    """A follower that says `last` once it is asked to end, and ends."""
    folder.say(replace(FOLLOWING, looked_at=SYSTEM.monotonic()))
    lock = folder.lock() or pytest.fail("the lock is free")

    def asked() -> None:
        if not folder.asked_to_end:
            raise NotYet("not asked")

    def follow() -> None:
        with lock:
            wait_until(asked, patience=30)
            folder.say(last)

    thread = Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        folder.ask_to_end()
        thread.join()


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (replace(FOLLOWING, phase=Phase.FAILED, reason="disk full"), "^it is not ready: failed, .*: disk full$"),
        (replace(FOLLOWING, phase=Phase.ENDED, backup="older"), "^it was made from base backup older on timeline 1; "),
        (replace(FOLLOWING, phase=Phase.ENDED, timeline=2), "^it was made from base backup base on timeline 2; "),
    ],
)
def test_a_standby_that_ended_as_another_is_not_promoted(
    folder: StandbyFolder, tmp_path: Path, last: State, said: str
) -> None:
    (folder.data).mkdir()
    standby = Standby(folder, Owner(tmp_path, "dr/standby"))
    with ends_with(folder, last), pytest.raises(RestoreFailed, match=said):
        standby.take(way(), None, tmp_path / "data", lambda _count: None)  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"facts": SimpleNamespace(tablespaces=("fast",))}, "tablespaces are not restored onto a DR site"),
        ({"size": lambda: 1 << 60}, "standby.*free"),
    ],
)
def test_a_base_backup_that_does_not_fit_is_not_made_a_standby(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], said: str
) -> None:
    def unpacked(*_words: object) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(module, "ways", lambda *_words: iter((way(**more),)))
    monkeypatch.setattr(module, "made", unpacked)
    with pytest.raises((HarnessError, RestoreFailed), match=said):
        follower._made()


def test_a_base_backup_that_cannot_be_started_here_is_not_made_a_standby(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ways", lambda *_words: iter((way(size=lambda: 0),)))
    monkeypatch.setattr(module, "made", lambda _folder: pytest.fail("unpacked"))
    monkeypatch.setattr(module, "programs_of", lambda *_words: None)
    monkeypatch.setattr(module, "Here", lambda _programs: None)
    monkeypatch.setattr(module, "lacking", lambda *_words: Lacking(own=("ICU is missing",)))
    monkeypatch.setattr(Follower, "_programs", lambda *_words: None)
    with pytest.raises(RestoreFailed, match=r"^ICU is missing$"):
        follower._made()


def test_a_server_that_does_not_answer_is_made_anew(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    def begins() -> None:
        raise NotYet("the database system is starting up")

    @contextmanager
    def server(*_words: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(module, "running_server", server)
    monkeypatch.setattr(module, "Running", lambda *_words: SimpleNamespace(standing=begins))
    monkeypatch.setattr(Follower, "_try_to_look", lambda *_words: None)
    monkeypatch.setattr(PATIENCE, "restore_database", 0.3)
    ending = Timer(10, follower.stop.set)
    ending.start()
    try:
        with pytest.raises(RestoreFailed, match="the server of the standby does not answer: the database system is"):
            follower._feed(way(), SimpleNamespace(), {})  # type: ignore[arg-type]
    finally:
        ending.cancel()


def entry(name: str, start: int, system: str = "7391") -> Any:
    return SimpleNamespace(backup_id=name, system=system, commit=SimpleNamespace(base=SimpleNamespace(start=start)))


def test_a_standby_that_could_be_fed_no_more_is_outdated(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its base backup was removed, or a newer one begins after a hole in its WAL."""
    _require_newest(way(), (entry("base", 100), entry("newer", 300), entry("other", 400, "8000")))
    for entries, said in (
        ((entry("newer", 300),), "base backup base is not in the repository any more"),
        ((entry("base", 100), entry("newer", 301)), "its WAL ends at 0/12C, and base backup newer is beyond that"),
    ):
        with pytest.raises(Outdated, match=said):
            _require_newest(way(), entries)
    monkeypatch.setattr(module, "way_from", lambda *_words: way())
    with pytest.raises(Outdated, match="base backup base is not in the repository any more"):
        follower._look(way(), SimpleNamespace())  # type: ignore[arg-type]
