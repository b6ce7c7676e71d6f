"""Losses of the ledgers of stores: they count for the RPO, and a silent one makes a drill UNKNOWN."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.errors import Unreadable
from harness.core.judge import STORE_SILENCE, Clients, Evidence, Phase, Verdict, judge
from harness.core.judged import evidence_in
from harness.core.ledger import CLIENTS, NO_WRITES, Ledger, Write
from harness.core.loss import StoreWrites, measure_loss, store_losses
from harness.core.record import LedgerResult, ledger_results
from tests.core.test_judge import evidence, ledger_of
from tests.core.test_judged import journalled

NAME = "shop orders"
STRUCK = 10.0  # of `evidence`


def slow(until: float = STRUCK, count: int = 8) -> Ledger:
    """Acknowledgements a second apart, the last one before `until`."""
    times = [until - 0.7 - n for n in range(count)][::-1]
    return Ledger.of(Write(n, at - 0.1, at) for n, at in enumerate(times, 1))


def with_store(ledger: Ledger, survivors: frozenset[int] | None) -> Evidence:
    whole = evidence()
    assert whole.clients is not None
    return replace(whole, clients=replace(whole.clients, stores=(StoreWrites(NAME, ledger, survivors),)))


def test_a_store_that_lost_nothing_keeps_the_promise_whatever_its_pace() -> None:
    found = judge(with_store(slow(), frozenset(range(1, 9))))
    assert (found.verdict, found.rpo) == (Verdict.KEPT, 0.0)


def test_the_rpo_is_that_of_the_worst_ledger() -> None:
    found = judge(with_store(slow(), frozenset({1, 2, 3})))
    assert found.verdict is Verdict.KEPT  # 5 s of 10 s
    assert found.rpo == pytest.approx(5.0)
    assert found.loss is not None
    assert found.loss.rpa == 0.0
    late = judge(with_store(slow(count=20), frozenset({1, 2, 3})))
    assert late.verdict is Verdict.BROKEN
    assert late.reasons == (
        f"ledger {NAME}: RPO missed: 17.0 s of 10 s, 17 acknowledged writes lost (4, 5, 6, 7, 8 ...)",
    )


@pytest.mark.parametrize(
    ("survivors", "said"),
    [
        (frozenset(), "RPO missed: none of 8 acknowledged writes survived"),
        (frozenset({1, 2, 3, 4, 5, 6, 8}), "writes are missing although later ones survived: first 7"),
        (frozenset(range(1, 10)), "the recovered system contains writes that were never sent: (9,)"),
    ],
)
def test_each_kind_of_loss_of_a_store_breaks_the_promise(survivors: frozenset[int], said: str) -> None:
    found = judge(with_store(slow(), survivors))
    assert found.verdict is Verdict.BROKEN
    assert found.reasons == (f"ledger {NAME}: {said}",)


@pytest.mark.parametrize(
    ("copied", "verdict"), [(None, Verdict.BROKEN), (8.31, Verdict.BROKEN), (8.29, Verdict.KEPT), (0.0, Verdict.KEPT)]
)
def test_objects_that_are_copied_in_rounds_keep_no_order_after_the_last_complete_one(
    copied: float | None, verdict: Verdict
) -> None:
    whole = with_store(slow(), frozenset({1, 2, 3, 4, 5, 6, 8}))  # 7 was acknowledged at 8.3
    assert whole.clients is not None
    store = replace(whole.clients.stores[0], copied=copied)
    found = judge(replace(whole, clients=replace(whole.clients, stores=(store,))))
    said = (f"ledger {NAME}: writes are missing although later ones survived: first 7",)
    assert (found.verdict, found.reasons) == (verdict, said if verdict is Verdict.BROKEN else ())
    assert found.rpo == pytest.approx(2.0)  # from 6: a loss, in whichever order


def test_a_loss_that_no_order_excuses_still_counts_for_the_rpo() -> None:
    whole = with_store(slow(count=20), frozenset({1, 2, *range(4, 21)}))
    assert whole.clients is not None
    store = replace(whole.clients.stores[0], copied=-8.0)  # 3 was acknowledged at -7.7
    found = judge(replace(whole, clients=replace(whole.clients, stores=(store,))))
    assert found.reasons == (f"ledger {NAME}: RPO missed: 18.0 s of 10 s, 1 acknowledged writes lost (3)",)


@pytest.mark.parametrize("ledger", [NO_WRITES, slow(STRUCK - STORE_SILENCE), Ledger.of([Write(1, STRUCK - 1.0)])])
def test_a_silent_ledger_is_unknown(ledger: Ledger) -> None:
    found = judge(with_store(ledger, frozenset(range(1, 9)) if ledger.acknowledged() else frozenset()))
    assert found.verdict is Verdict.UNKNOWN
    assert f"ledger {NAME}: no acknowledged write in the 30 s before the strike" in found.reasons


def test_a_ledger_that_was_not_read_back_is_unknown_and_has_no_rpo() -> None:
    found = judge(with_store(slow(), None))
    assert (found.verdict, found.rpo) == (Verdict.UNKNOWN, None)
    assert found.reasons == (f"ledger {NAME}: its surviving writes were not read",)


def test_without_a_strike_no_loss_is_measured() -> None:
    stores = (StoreWrites(NAME, slow(), frozenset()),)
    assert store_losses(stores, None) == ((NAME, None),)
    whole = with_store(slow(), frozenset())
    assert whole.clients is not None
    found = judge(replace(whole, clients=replace(whole.clients, struck=None, witnessed=False)))
    assert found.verdict is Verdict.UNKNOWN
    assert not any(NAME in reason for reason in found.reasons)


def test_every_ledger_has_a_result_that_of_the_clients_first() -> None:
    seen = with_store(slow(), frozenset({1, 2, 3}))
    clients, store = ledger_results(seen.clients, judge(seen))
    assert clients == LedgerResult(CLIENTS, 10, 10, (), 0.0)
    assert replace(store, rpo_seconds=None) == LedgerResult(NAME, 8, 3, (4, 5, 6, 7, 8), None)
    assert store.rpo_seconds == pytest.approx(5.0)
    unread = with_store(slow(), None)
    assert ledger_results(unread.clients, judge(unread))[1] == LedgerResult(NAME, 8, None, None, None)
    assert ledger_results(None, judge(unread)) == ()


@pytest.mark.parametrize("copied", [None, 0.0, 7.5])
@pytest.mark.parametrize("survivors", [None, frozenset(), frozenset({1, 2, 4})])
def test_the_ledger_of_a_store_goes_through_the_journal(survivors: frozenset[int] | None, copied: float | None) -> None:
    seen = replace(with_store(slow(), survivors), phases=())
    assert seen.clients is not None
    stores = (replace(seen.clients.stores[0], copied=copied),)
    seen = replace(seen, clients=replace(seen.clients, stores=stores))
    ledgers = {CLIENTS: ledger_of(), NAME: slow()}
    assert evidence_in(journalled(seen).events, ledgers) == seen


def test_a_ledger_that_was_written_and_not_judged_is_refused() -> None:
    whole = evidence(phases=())
    assert isinstance(whole.clients, Clients)
    with pytest.raises(Unreadable, match="ledger shop orders: was written and not judged"):
        evidence_in(journalled(whole).events, {CLIENTS: ledger_of(), NAME: slow()})


def test_a_write_that_was_acknowledged_after_the_fault_is_no_part_of_the_rpo() -> None:
    """The primary acknowledges until the strike has ended, while shipping has ended already: a note has those."""
    ledger = Ledger.of(Write(n, n - 0.1, float(n)) for n in range(1, 15))
    whole = measure_loss(ledger, frozenset(range(1, 15)), 10.0)
    assert measure_loss(ledger, frozenset({*range(1, 12), 14}), 10.0) == whole
    assert (whole.rpa, whole.lost, whole.acknowledged, whole.own) == (0.0, (), 10, ())
    more = measure_loss(ledger, frozenset(range(1, 9)), 10.0)
    assert (more.rpa, more.lost, more.everything) == (2.0, (9, 10), False)
    none = measure_loss(ledger, frozenset({11, 12}), 10.0)
    assert (none.rpa, none.everything) == (9.0, True)


def test_a_write_that_the_dr_site_acknowledged_itself_and_lost_breaks_the_promise() -> None:
    """Whatever the RPO: no disaster excuses it. Those from before its clients were led there may be of the primary."""
    ledger = Ledger.of(Write(n, n - 0.1, float(n)) for n in range(1, 15))
    for led, own in ((12.5, (13,)), (13.0, ()), (None, ())):
        loss = measure_loss(ledger, frozenset({*range(1, 13), 14}), 10.0, led=led)
        assert (loss.lost, loss.own) == ((), own)
    seen = with_store(slow(), frozenset(range(1, 9)))
    assert seen.clients is not None
    store = seen.clients.stores[0]
    one_more = Ledger((*store.ledger.writes, Write(9, 31.0, 31.1)))
    seen = replace(seen, clients=replace(seen.clients, stores=(replace(store, ledger=one_more),)))
    assert judge(seen).stores[0][1].lost == ()  # type: ignore[union-attr]
    seen = replace(seen, phases=(*seen.phases, Phase("switch", 15.0, 20.0)))
    found = judge(seen)
    assert found.verdict is Verdict.BROKEN
    assert f"ledger {NAME}: the DR site has lost writes that it acknowledged itself: (9,)" in found.reasons
