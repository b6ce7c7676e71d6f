"""What a drill of a restore asserts: each check fails for the rows, the chain and the witness that it is there for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.errors import Finding, HarnessError, UsageError
from harness.core.journal import MemoryJournal
from harness.core.ledger import Ledger, Write
from harness.drill.drill import Drill
from harness.estate.state_file import WITNESS
from harness.scenario.faults.fault import Scene
from harness.scenario.faults.site import lose_witness
from harness.scenario.faults.stored_backup import encrypt_newer
from harness.scenario.restores.points import Point, write_until
from harness.scenario.restores.restore import RestoreDrill
from tests.memory_drill import start

BEFORE = (Write(1, 1.0, 2.0), Write(2, 2.5, 3.0))
AFTER = (Write(4, 11.0, 12.0), Write(5, 12.5))  # the last one without an acknowledgement
DURING = Write(3, 9.0, 10.5)
POINT = Point("lsn=0/3000028", 10.0, 10.2, 0x3000028)


def restored(found: set[int], *writes: Write) -> RestoreDrill:
    drill = SimpleNamespace(ledger=SimpleNamespace(ledger=Ledger.of(writes)), journal=MemoryJournal())
    return RestoreDrill(drill, POINT, found=frozenset(found))  # type: ignore[arg-type]


@pytest.mark.parametrize("found", [{1, 2}, {1, 2, 3}])
def test_a_write_that_was_under_way_at_the_point_may_be_there_or_not(found: set[int]) -> None:
    made = restored(found, *BEFORE, DURING, *AFTER)
    made.require_rows(both=True)
    assert made.expected() == {1, 2, 4, 5}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({1}, r"acknowledged before lsn=0/3000028, and not restored: \[2\]"),
        ({1, 2, 4}, r"written after lsn=0/3000028, and restored: \[4\]"),
        ({1, 2, 5}, r"written after lsn=0/3000028, and restored: \[5\]"),
    ],
)
def test_a_lost_write_and_one_of_later_are_named(found: set[int], said: str) -> None:
    with pytest.raises(Finding, match=said):
        restored(found, *BEFORE, DURING, *AFTER).require_rows(both=True)


def test_a_restore_shows_nothing_without_writes_on_both_sides_of_its_point() -> None:
    for writes in (BEFORE, AFTER):
        with pytest.raises(Finding, match="nothing was shown"):
            restored({1, 2}, *writes).require_rows(both=True)
    with pytest.raises(Finding, match="writes after the point"):
        restored({1, 2}, *BEFORE, *AFTER).require_rows(both=False)
    restored({1, 2}, *BEFORE).require_rows(both=False)


def test_a_chain_counts_only_when_the_newest_of_it_was_combined() -> None:
    made = restored({1, 2}, *BEFORE)
    made.receipts = [SimpleNamespace(backup_id=name) for name in ("full", "first", "second")]  # type: ignore[misc]
    made.done = SimpleNamespace(backup_id="full")  # type: ignore[assignment]
    with pytest.raises(Finding, match="full was restored, not the newest incremental backup second"):
        made.require_chain()
    made.done = SimpleNamespace(backup_id="second")  # type: ignore[assignment]
    with pytest.raises(Finding, match="second was restored from 0 backups, not from 3"):
        made.require_chain()
    made.drill.journal.mark("combined", "second", parts=3)
    made.require_chain()
    made.receipts = made.receipts[:1]
    with pytest.raises(Finding, match="no incremental backup was taken"):
        made.require_chain()


def test_nothing_is_judged_before_a_restore_and_an_unknown_point_is_refused(drill: Drill) -> None:
    with pytest.raises(HarnessError, match="nothing was restored"):
        RestoreDrill(drill).conclude()
    with pytest.raises(UsageError, match="no point in time 'noon'; known: a time, "):
        write_until(drill, "noon")
    drill.close()


def test_what_an_attacker_encrypts_and_what_dr_forgets_must_be_there(drill: Drill) -> None:
    start(drill)
    scene = Scene(drill)
    drill.back_up()
    with pytest.raises(HarnessError, match="only one backup is in the repository"):
        encrypt_newer(scene)
    first = drill.environment.repository.committed()[0].backup_id
    drill.back_up()
    encrypt_newer(scene)
    (newer, older) = drill.environment.repository.committed()
    assert (newer.damaged is not None, older.damaged, older.backup_id) == (True, None, first)
    witness: Path = drill.environment.run / WITNESS
    witness.touch()
    lose_witness(scene)
    with pytest.raises(HarnessError, match="DR has seen nothing"):
        lose_witness(scene)
    drill.close()
