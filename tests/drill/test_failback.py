"""The way back: what it refuses, how its writes are told from those before, and whose keys it uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import Finding, Refused
from harness.core.ledger import NO_WRITES, Ledger, Write
from harness.core.record import LedgerResult
from harness.declaration import ClientLoad, StoreClients
from harness.drill import failback
from harness.drill.drill import Drill
from harness.estate.secrets import PRIVATE_KEY, SIGNING_KEY, make_secrets, verify_keys
from harness.repository.format.recipients import read_public
from harness.scenario.checks.failback import recovered, require_nothing_lost
from harness.vault import read_secret
from tests.memory_drill import drill_of, start
from tests.memory_estate import MemoryEstate
from tests.records import kept


@pytest.fixture
def drill(memory_estate: MemoryEstate, tmp_path: Path) -> Iterator[Drill]:
    opened = drill_of(memory_estate, tmp_path, on_disk=True)
    start(opened)
    yield opened
    opened.close()


def test_no_way_back_begins_before_dr_was_tested(drill: Drill) -> None:
    with pytest.raises(Refused, match="the estate was not recovered on the DR site"):
        failback.begin_failback(drill)
    drill.back_up()
    drill.strike()
    drill.recover()
    with pytest.raises(Refused, match="that drill is not concluded"):
        failback.begin_failback(drill)


def test_no_way_back_begins_while_the_old_primary_exists(drill: Drill) -> None:
    assert recovered(drill).record is not None
    drill.environment.primary.nodes["odoo"] = drill.environment.dr.nodes["shop"]
    with pytest.raises(Refused, match="the old primary site is still there"):
        failback.begin_failback(drill)
    drill.environment.primary.nodes.clear()


def test_a_recovery_that_was_not_kept_has_no_way_back(drill: Drill, memory_estate: MemoryEstate) -> None:
    drill.back_up()
    memory_estate.shop.key_error = OSError("reset")
    with pytest.raises(Finding, match="the shop answers: reset"):
        recovered(drill)


def test_dr_is_closed_only_while_it_serves_clients(drill: Drill) -> None:
    """Otherwise there is no last write to count from."""
    for node in drill.environment.primary.nodes.values():
        node.kill()

    def failing() -> None:
        if drill.writer is None or not drill.writer.consecutive_failures:
            raise NotYet

    wait_until(failing, patience=10, every=0.002)
    with pytest.raises(Refused, match="DR does not serve clients"):
        failback.close_dr(drill)
    drill.writer = None
    with pytest.raises(Refused, match="DR does not serve clients"):
        failback.close_dr(drill)


def test_a_closed_site_takes_no_write_and_keeps_its_data(drill: Drill) -> None:
    struck = failback.close_dr(drill)
    assert struck.witnessed
    alive = {name for name, node in drill.environment.primary.nodes.items() if node.alive}
    assert alive == {"postgres", "objects"}
    assert drill.live == {"shop"}
    assert [event.kind for event in drill.journal.events if event.message == "2.1"] == ["struck"]


def test_numbers_go_on_and_only_own_writes_are_found() -> None:
    sent: list[int] = []
    load = ClientLoad(
        sender=lambda _door, _secrets: lambda number: not sent.append(number),  # type: ignore[func-returns-value]
        survivors=lambda _door, _secrets: frozenset({1, 7, 8, 9}),
        restored=lambda _sql: frozenset({1, 7, 8}),
    )
    after = failback.load_after(load, 7)
    assert [after.sender(None, {})(number) for number in (1, 2)] == [True, True]  # type: ignore[arg-type]
    assert sent == [8, 9]
    assert after.survivors(None, {}) == {1, 2}  # type: ignore[arg-type]
    assert after.restored(None) == {1}  # type: ignore[arg-type]
    clients = failback.clients_after(StoreClients("orders", load.sender, lambda *_words: frozenset({3, 7, 10})), 7)
    assert clients.name == "orders"
    assert clients.survivors(None, {}, None) == {3}  # type: ignore[arg-type]
    assert failback.last_of(Ledger.of([Write(4, 1.0), Write(2, 0.0, 0.5)])) == 4
    assert failback.last_of(NO_WRITES) == 0


def test_each_site_gets_the_keys_of_its_new_part(tmp_path: Path) -> None:
    secrets = make_secrets(tmp_path, ())
    before = secrets.recipients_of("primary")
    assert secrets.recipients == before
    old_writer, old_reader = (read_secret(secrets.of(site)[name]) for site, name in
                              (("primary", SIGNING_KEY), ("dr", PRIVATE_KEY)))  # fmt: skip
    secrets.turn_round()
    assert read_secret(secrets.of("dr")[SIGNING_KEY]) != old_writer
    assert read_secret(secrets.of("primary")[PRIVATE_KEY]) != old_reader
    assert len(verify_keys(secrets.of("primary"))) == len(verify_keys(secrets.of("dr"))) == 2
    reader, escrow = (read_public(read_secret(one)) for one in secrets.recipients_of("dr"))
    assert escrow == read_public(read_secret(before[1]))
    assert reader != read_public(read_secret(before[0]))


@pytest.mark.parametrize(
    ("ledgers", "said"),
    [
        ((), "no ledger was written"),
        ((LedgerResult("clients", 9, 8, (9,), 0.1),), r"ledger clients: writes \(9,\) to the DR site are lost"),
        ((LedgerResult("clients", 9, None, None, None),), "ledger clients: nothing was measured"),
        ((LedgerResult("clients", 0, 0, (), None),), "ledger clients: nothing was measured"),
    ],
)
def test_a_lost_or_unmeasured_write_is_a_finding(ledgers: tuple[LedgerResult, ...], said: str) -> None:
    with pytest.raises(Finding, match=said):
        require_nothing_lost(replace(kept(), ledgers=ledgers))
    require_nothing_lost(kept())
