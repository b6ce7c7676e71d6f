"""What a follower says of its standby, and when that is not enough for a promotion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.journal import MemoryJournal
from harness.physical.standby.folder import STALE, Phase, StandbyFolder, State
from harness.physical.standby.follower import Follower
from harness.physical.standby.standby import Standby
from harness.substrate.embedded.process_tree import Owner
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, recipients

__all__ = ["recipients"]


@pytest.fixture
def folder(tmp_path: Path) -> StandbyFolder:
    found = StandbyFolder(tmp_path / "standby")
    found.make()
    return found


def following() -> State:
    return State(Phase.FOLLOWING, "b", 1, 200, 100, 300, SYSTEM.monotonic())


def test_a_standby_that_is_fed_may_be_promoted(folder: StandbyFolder) -> None:
    folder.say(following())
    with folder.lock() or pytest.fail("the lock is free"):
        assert folder.followed
        assert folder.alarm == ""
        assert (folder.state().behind, str(folder.state())) == (
            200,
            "follows the WAL, applied up to 0/64, 200 bytes behind",
        )
    assert not folder.followed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"phase": Phase.MAKING}, "it is not ready: is made from a base backup"),
        ({"phase": Phase.FAILED, "reason": "disk full"}, "it is not ready: failed, and is made anew: disk full"),
        ({"looked_at": -STALE - 1}, r"it looked at the repository \d+ s ago"),
    ],
)
def test_a_standby_that_is_not_ready_or_not_fed_is_not_promoted(
    folder: StandbyFolder, tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    folder.say(replace(following(), **changed))  # type: ignore[arg-type]
    standby = Standby(folder, Owner(tmp_path, "dr/standby"))
    with folder.lock() or pytest.fail("the lock is free"), pytest.raises(RestoreFailed, match=said):
        standby.take(None, None, tmp_path / "data", lambda _count: None)  # type: ignore[arg-type]
    assert not folder.asked_to_end


@pytest.mark.parametrize("text", ["", "[]", '{"phase": "dances"}', '{"phase": "follows the WAL", "more": 1}'])
def test_a_state_that_cannot_be_read_is_named(folder: StandbyFolder, text: str) -> None:
    (folder.root / "state.json").write_text(text)
    with pytest.raises(RestoreFailed, match="not the state of a standby"):
        folder.state()


def test_a_second_follower_is_refused(folder: StandbyFolder, tmp_path: Path, recipients: Recipients) -> None:
    follower = Follower(recipients.repository(MemoryStore()), b"", folder, tmp_path, MemoryJournal())
    with folder.lock() or pytest.fail("the lock is free"), pytest.raises(HarnessError, match="another follower"):
        follower.run()


def test_a_follower_without_a_base_backup_waits_for_one(
    folder: StandbyFolder, tmp_path: Path, recipients: Recipients
) -> None:
    follower = Follower(recipients.repository(MemoryStore()), b"", folder, tmp_path, MemoryJournal(), every=0.1)
    thread = Thread(target=follower.run)
    thread.start()

    def waits() -> None:
        if "it is not ready: waits for a base backup: " not in folder.alarm:
            raise NotYet(folder.alarm)

    try:
        wait_until(waits, patience=30)
        assert "take one with `blackstart backup" in folder.state().reason
    finally:
        folder.ask_to_end()
        thread.join(30)
    assert not folder.followed
