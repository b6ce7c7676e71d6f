"""Undo of a killed restore test that is tried again, on a server that is scaled down, or beside another test."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli.drills import sweep_all_of
from harness.core.errors import HarnessError, Refused
from harness.estate.target_lock import alone_at, dr_target
from harness.restore_test import undo
from harness.restore_test.undo import alive, alone_on_site, clear_interrupted
from harness.substrate.embedded.undo_journal import Undo, UndoJournal, last_change
from tests.restore_test.killed import Killed, database, file, killed

pytestmark = pytest.mark.programs
__all__ = ["killed"]


@dataclass
class Replicas:
    """Workloads of a cluster: the number of replicas of each node."""

    nodes: dict[str, int]
    fails: str = ""

    def replicas(self, node: str) -> int | None:
        return self.nodes.get(node)

    def scale(self, node: str, replicas: int, patience: float) -> None:
        if node == self.fails:
            raise HarnessError(f"{node}: no image, {patience} s")
        self.nodes[node] = replicas


@pytest.fixture
def replicas(monkeypatch: pytest.MonkeyPatch) -> Replicas:
    made = Replicas({"postgres": 0})
    monkeypatch.setattr("harness.estate.existing.workloads_of", lambda _table: made)
    monkeypatch.setattr(undo, "workloads_of", lambda _table: made)
    return made


def test_a_refused_sweep_scales_the_server_down_again_and_is_refused_again(killed: Killed, replicas: Replicas) -> None:
    killed.restored()
    database(killed)
    killed.ago(hours=1)
    last = last_change(killed.run)
    for _ in range(3):
        with pytest.raises(Refused, match="database shop at "):
            clear_interrupted(killed.run)
        assert replicas.nodes == {"postgres": 0}
        assert last_change(killed.run) == last
    assert "shop" in killed.now.server.names


def test_a_server_that_is_left_running_after_a_refusal_does_not_move_the_time(
    killed: Killed, replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed.restored()
    database(killed)
    killed.ago(hours=1)
    monkeypatch.setattr("harness.substrate.existing.site.ExistingSite.scale_down", lambda *_: None)
    for _ in range(2):
        with pytest.raises(Refused, match="database shop at "):
            clear_interrupted(killed.run)
    assert replicas.nodes == {"postgres": 1}


def test_a_server_that_was_scaled_down_is_cleared_and_scaled_down(killed: Killed, replicas: Replicas) -> None:
    killed.restored()
    database(killed)
    done = clear_interrupted(killed.run)
    assert done[-1] == "postgres: scaled to 0"
    assert replicas.nodes == {"postgres": 0}
    assert killed.now == killed.before


def test_a_site_that_cannot_be_activated_is_scaled_down_again(killed: Killed, replicas: Replicas) -> None:
    killed.restored()
    replicas.nodes["objects"], replicas.fails = 0, "objects"
    with pytest.raises(HarnessError, match="objects: no image"):
        clear_interrupted(killed.run)
    assert replicas.nodes["postgres"] == 0


def test_a_site_is_not_cleared_while_a_restore_test_is_there(killed: Killed) -> None:
    config = killed.existing.declare()
    with alone_at(dr_target(config), "restore test of tonight"):
        with alone_on_site(killed.run):
            pass  # nothing is to be cleared there
        killed.restored()
        with pytest.raises(Refused, match="is in use by restore test of tonight"), alone_on_site(killed.run):
            pass
    with alone_on_site(killed.run), pytest.raises(Refused, match="the undo of"), alone_at(dr_target(config), "another"):
        pass


def test_a_living_test_says_so_in_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "EVERY", 0.02)
    UndoJournal(tmp_path).note(Undo.RUN)
    first = last_change(tmp_path)
    with alive(tmp_path):
        deadline = time.monotonic() + 10
        while last_change(tmp_path) == first and time.monotonic() < deadline:
            pass
    last = last_change(tmp_path)
    assert first is not None
    assert last is not None
    assert last > first


def test_a_sweep_changes_nothing_while_a_restore_test_is_there(killed: Killed) -> None:
    killed.restored()
    file(killed)
    (killed.run / "spool").touch()
    with (
        alone_at(dr_target(killed.existing.declare()), "restore test of tonight"),
        pytest.raises(Refused, match="is in use by restore test of tonight"),
    ):
        sweep_all_of(killed.run)
    assert (killed.run / "spool").exists()
    assert (killed.files / "a/order.pdf").exists()
    sweep_all_of(killed.run)
    assert not killed.run.exists()
    assert killed.now == killed.before
