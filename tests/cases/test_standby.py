"""A standby follows the primary from the repository and is promoted; where it cannot be, a base backup is restored."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.wal import read_lsn
from harness.estate.secrets import PRIVATE_KEY
from harness.physical.standby.folder import NAME as FOLDER
from harness.physical.standby.folder import Phase, StandbyFolder, State
from harness.physical.standby.follower import Follower
from harness.physical.standby.standby import Standby
from harness.recovery.recovery import Activated
from harness.recovery.restore import Restored
from harness.recovery.restore_server import SCRATCH
from harness.substrate.embedded.process_tree import Owner
from harness.vault import read_secret
from tests.cases.estate import CaseEstate
from tests.cases.test_server import archiving


def folder_of(case: CaseEstate) -> StandbyFolder:
    return StandbyFolder(case.substrate.run / FOLDER)


@contextmanager
def following(case: CaseEstate, sockets: Path) -> Iterator[Follower]:
    """Run a follower in a thread while the block runs."""
    sockets.mkdir(mode=0o700)
    key = read_secret(case.secrets.of("dr")[PRIVATE_KEY])
    follower = Follower(case.repository, key, folder_of(case), sockets, case.journal, every=0.2)
    thread = Thread(target=follower.run)
    thread.start()
    try:
        yield follower
    finally:
        follower.stop.set()
        thread.join(60)
    assert not thread.is_alive()


def await_applied(case: CaseEstate, position: int) -> State:
    """Return the state of the standby once it has applied WAL up to a position."""

    def applied() -> State:
        state = folder_of(case).state() if (folder_of(case).root / "state.json").exists() else None
        if state is None or state.phase != Phase.FOLLOWING or state.replayed < position:
            raise NotYet(str(state))
        return state

    return wait_until(applied, patience=60, what="applied")


def flushed(case: CaseEstate) -> int:
    return read_lsn(str(case.value("app", "SELECT pg_current_wal_flush_lsn()", site="primary")))


def recovered(case: CaseEstate) -> Restored:
    recovery = case.recovery
    recovery.standby = Standby(folder_of(case), Owner(case.substrate.run, "dr/standby"))
    return recovery.restore(recovery.select(Activated(())))


@pytest.fixture
def sockets() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="blackstart-") as name:
        yield Path(name, "s")


@pytest.mark.night
def test_a_standby_is_made_follows_and_is_promoted_with_every_write(physical: CaseEstate, sockets: Path) -> None:
    with following(physical, sockets):
        with archiving(physical):
            physical.back_up()
            physical.run("app", "INSERT INTO t VALUES (101)")
            state = await_applied(physical, flushed(physical))
            assert state.backup == physical.repository.committed()[0].backup_id
            physical.run("app", "INSERT INTO t VALUES (102)", "SELECT pg_switch_wal()", "INSERT INTO t VALUES (103)")
            await_applied(physical, flushed(physical))
            physical.run("app", "INSERT INTO t VALUES (104)")
        done = recovered(physical)
    assert physical.value("app", "SELECT max(n) FROM t") == 104
    assert (done.source["mode"], done.findings, done.left) == ("standby", (), 1)
    assert physical.value("app", "SELECT pg_is_in_recovery()") is False
    assert physical.value("app", "SELECT timeline_id FROM pg_control_checkpoint()") == 2
    assert not (physical.substrate.run / SCRATCH).exists()
    assert not folder_of(physical).root.exists()


def corrupt(case: CaseEstate) -> None:
    """Flip a byte in the first page of the largest table of a database of the standby."""
    files = [p for p in (folder_of(case).data / "base").rglob("*") if p.is_file() and p.name.isdigit()]
    victim = max(files, key=lambda p: p.stat().st_size)
    with victim.open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 1]))
        os.fsync(file.fileno())


@pytest.mark.night
def test_a_corrupted_standby_is_not_used(physical: CaseEstate, sockets: Path) -> None:
    with following(physical, sockets):
        with archiving(physical):
            physical.back_up()
            await_applied(physical, flushed(physical))
            physical.run("app", "INSERT INTO t VALUES (101)")
        corrupt(physical)
        done = recovered(physical)
    assert physical.value("app", "SELECT count(*) FROM t") == 101
    assert done.source["mode"] == "physical"
    why = [line for line in done.findings if line.startswith("the standby is not used, a base backup is restored: ")]
    assert len(why) == 1
    assert "pg_checksums" in why[0] or "invalid page" in why[0]  # the page may be one that is read before the check


def test_a_standby_whose_follower_has_stopped_is_not_used(physical: CaseEstate, sockets: Path) -> None:
    with archiving(physical):
        physical.back_up()
        with following(physical, sockets):
            await_applied(physical, flushed(physical))
        physical.run("app", "INSERT INTO t VALUES (101)")
    done = recovered(physical)
    assert physical.value("app", "SELECT count(*) FROM t") == 101
    assert done.source["mode"] == "physical"
    assert any("its follower does not run" in line for line in done.findings)
    assert not folder_of(physical).root.exists()


def test_a_standby_that_was_never_made_is_named(physical: CaseEstate) -> None:
    physical.back_up()
    done = recovered(physical)
    assert done.source["mode"] == "physical"
    assert any("its follower has not begun" in line for line in done.findings)
