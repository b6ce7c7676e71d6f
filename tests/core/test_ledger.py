from __future__ import annotations

from harness.core.ledger import Ledger, Write


def test_the_last_entry_for_a_number_counts() -> None:
    ledger = Ledger.of([Write(2, 2.0), Write(1, 1.0, 1.1), Write(2, 2.0, 2.2)])
    assert [w.number for w in ledger.writes] == [1, 2]
    assert ledger.writes[1].acked == 2.2


def test_the_last_acknowledged_write_before_a_time() -> None:
    ledger = Ledger.of([Write(1, 0.0, 1.0), Write(2, 1.0, 3.0), Write(3, 3.0)])
    before = ledger.last_before(2.0)
    assert before
    assert before.number == 1
    assert ledger.last_before(0.5) is None


def test_acknowledged_writes_are_sorted_by_acknowledgement() -> None:
    ledger = Ledger.of([Write(1, 0.0, 5.0), Write(2, 0.0, 4.0), Write(3, 0.0)])
    assert [w.number for w in ledger.acknowledged()] == [2, 1]
