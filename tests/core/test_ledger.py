from __future__ import annotations

from harness.core.ledger import Ledger, Write


def test_the_last_word_on_a_number_counts() -> None:
    ledger = Ledger.of([Write(2, 2.0), Write(1, 1.0, 1.1), Write(2, 2.0, 2.2)])
    assert [w.number for w in ledger.writes] == [1, 2]
    assert ledger.writes[1].acked == 2.2


def test_the_moments_around_a_strike() -> None:
    ledger = Ledger.of([Write(1, 0.0, 1.0), Write(2, 1.0, 3.0), Write(3, 3.0)])
    before, after = ledger.last_before(2.0), ledger.first_after(2.0)
    assert (before and before.number, after and after.number) == (1, 2)
    assert ledger.last_before(0.5) is None
    assert ledger.first_after(3.0) is None


def test_acknowledged_writes_come_in_the_order_of_their_answers() -> None:
    ledger = Ledger.of([Write(1, 0.0, 5.0), Write(2, 0.0, 4.0), Write(3, 0.0)])
    assert [w.number for w in ledger.acknowledged()] == [2, 1]
