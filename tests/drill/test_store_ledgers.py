"""Ledgers of the stores in a drill in memory: started with it, read back, judged, and in its record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness.attestation.verify import contradictions
from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import Finding, HarnessError, TookTooLong
from harness.core.journal import END, Event
from harness.core.judge import SWITCH, Clients
from harness.core.ledger import CLIENTS, Ledger, Write
from harness.core.record import DrillRecord
from harness.core.service import Place, PublicDoor
from harness.declaration import StoreClients
from harness.drill.divergence import late_writes
from harness.drill.drill import Drill
from harness.evidence.ledger import read_ledgers
from harness.patience import PATIENCE
from harness.traffic.ledger_writer import NotAcknowledged
from tests.memory_drill import drill_of, start
from tests.memory_estate import MemoryEstate

NAME, RATE = "shop orders", 200.0


@dataclass
class Orders:
    """A store of the shop. `forgets`: what a restored copy of it does not have; `error`: raised by reading it."""

    taken: list[int] = field(default_factory=list)
    forgets: range = range(0)
    error: Exception | None = None
    accepts: bool = True
    refuses: str = ""
    in_bucket: bool = False

    @property
    def clients(self) -> StoreClients:
        send = lambda door, _secrets: lambda number: self.take(door, number)  # noqa: E731 - of two arguments in turn
        return StoreClients(NAME, send, self.read, self.in_bucket)

    def take(self, door: PublicDoor, number: int) -> bool:
        if self.refuses:
            raise NotAcknowledged(self.refuses)
        if not self.accepts or door.request("GET", "/").status != 200:
            return False
        self.taken.append(number)
        return True

    def read(self, _door: PublicDoor, _secrets: object, place: Place) -> frozenset[int]:
        assert place.site.name == "dr"
        if self.error is not None:
            raise self.error
        return frozenset(self.taken) - set(self.forgets)


@pytest.fixture
def orders() -> Orders:
    return Orders()


@pytest.fixture
def drill(memory_estate: MemoryEstate, tmp_path: Path, orders: Orders) -> Iterator[Drill]:
    opened = drill_of(memory_estate, tmp_path, on_disk=True)
    start(opened)
    opened.stores.start((orders.clients,), RATE)
    opened.stores.await_first()
    opened.back_up()
    yield opened
    opened.close()


def after(drill: Drill, orders: Orders, count: int) -> DrillRecord:
    """Conclude the drill after so many orders more."""
    before = len(orders.taken)

    def probe() -> None:
        if len(orders.taken) < before + count:
            raise NotYet(f"{len(orders.taken)} orders")

    wait_until(probe, patience=10, every=0.002)
    drill.strike()
    drill.recover()
    return drill.conclude()


def test_a_drill_has_a_result_for_each_ledger(drill: Drill, orders: Orders) -> None:
    record = after(drill, orders, 5)
    assert (record.verdict, record.reasons) == ("KEPT", ())
    clients, store = record.ledgers
    assert (clients.name, store.name) == (CLIENTS, NAME)
    assert (clients.acknowledged, clients.lost) == (record.acknowledged, record.lost)
    assert store.acknowledged >= 6
    assert (store.found, store.lost, store.rpo_seconds) == (store.acknowledged, (), 0.0)
    written = read_ledgers(drill.folder.path / "ledger.jsonl")
    assert {name: len(one.acknowledged()) > 0 for name, one in written.items()} == {CLIENTS: True, NAME: True}
    assert list(contradictions(drill.folder.path, record)) == []


def test_the_worst_ledger_is_the_rpo_of_the_drill(drill: Drill, orders: Orders) -> None:
    orders.forgets = range(2, 100_000)
    record = after(drill, orders, 20)
    store = record.ledgers[1]
    assert store.found == 1
    assert store.lost == tuple(range(2, store.acknowledged + 1))
    assert store.rpo_seconds
    assert record.rpo_seconds == max(one.rpo_seconds or 0.0 for one in record.ledgers)
    assert list(contradictions(drill.folder.path, record)) == []


@pytest.mark.parametrize("in_bucket", [True, False])
def test_a_hole_in_what_was_copied_after_the_last_round_is_a_loss_alone(
    memory_estate: MemoryEstate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_bucket: bool
) -> None:
    orders = Orders(in_bucket=in_bucket, forgets=range(3, 4))
    drill = drill_of(memory_estate, tmp_path, on_disk=True)
    start(drill)
    drill.stores.start((orders.clients,), RATE)
    drill.stores.await_first()
    drill.back_up()
    monkeypatch.setattr(type(drill.environment), "stop_replication", lambda _environment: 0.0)  # no complete round
    record = after(drill, orders, 5)
    drill.close()
    assert record.ledgers[1].lost == (3,)
    found = f"ledger {NAME}: writes are missing although later ones survived: first 3"
    assert (record.verdict, record.reasons) == (("KEPT", ()) if in_bucket else ("BROKEN", (found,)))
    assert list(contradictions(drill.folder.path, record)) == []


def test_a_result_that_was_edited_is_refused(drill: Drill, orders: Orders) -> None:
    orders.forgets = range(2, 100_000)
    record = after(drill, orders, 5)
    rows = [json.loads(line) for line in (drill.folder.path / "ledger.jsonl").read_text().splitlines()]
    kept = [row for row in rows if not (row.get("ledger") == NAME and row["number"] in orders.forgets)]
    (drill.folder.path / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    assert any("the record says ledgers" in line for line in contradictions(drill.folder.path, record))


def test_all_orders_lost_breaks_the_promise(drill: Drill, orders: Orders) -> None:
    orders.forgets = range(100_000)
    record = after(drill, orders, 5)
    assert record.verdict == "BROKEN"
    assert record.reasons[0].startswith(f"ledger {NAME}: RPO missed: none of ")


@pytest.mark.parametrize("error", [HarnessError("no session"), Finding("no answer"), OSError("reset")])
def test_a_ledger_that_cannot_be_read_back_is_not_measured(drill: Drill, orders: Orders, error: Exception) -> None:
    orders.error = error
    record = after(drill, orders, 5)
    assert record.verdict == "UNKNOWN"
    assert f"ledger {NAME}: cannot be read back: {error}" in record.reasons
    store = record.ledgers[1]
    assert (store.found, store.lost, store.rpo_seconds, record.rpo_seconds) == (None, None, None, None)


def test_a_ledger_that_no_store_accepts_is_named_before_the_strike(
    memory_estate: MemoryEstate, tmp_path: Path, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PATIENCE, "first_writes", 0.2)
    orders.accepts = False
    opened = drill_of(memory_estate, tmp_path)
    start(opened)
    opened.stores.start((orders.clients,), RATE)
    with pytest.raises(TookTooLong, match=f"the first acknowledged writes of ledger {NAME}"):
        opened.stores.await_first()
    orders.refuses = "POST /orders: answered 500, not 201: out of paper"
    with pytest.raises(TookTooLong, match=r"failed in a row, the last with: POST /orders: answered 500.* out of paper"):
        opened.stores.await_first()
    opened.close()


def test_a_store_that_falls_silent_before_the_strike_is_unknown(
    drill: Drill, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.core.judge.STORE_SILENCE", 0.2)
    orders.accepts = False
    quiet = len(orders.taken)
    begin = len(drill.ledger.ledger.acknowledged())

    def silent() -> None:
        if len(drill.ledger.ledger.acknowledged()) < begin + 200:
            raise NotYet

    wait_until(silent, patience=10, every=0.01)
    drill.strike()
    drill.recover()
    record = drill.conclude()
    assert len(orders.taken) <= quiet + 1
    assert record.verdict == "UNKNOWN"
    assert record.reasons == (f"ledger {NAME}: no acknowledged write in the 0.2 s before the strike",)


def test_writes_between_the_begin_of_the_strike_and_the_switch_are_noted() -> None:
    ledger = Ledger.of(Write(n, n - 0.1, float(n)) for n in range(1, 9))
    events = tuple(Event(at, SYSTEM.wall(), kind, SWITCH, "", {}) for kind, at in (("begin", 5.0), (END, 6.5)))
    note = "acknowledged after the strike had begun"
    clients = Clients(ledger, 3.5, witnessed=True, survivors=frozenset({1, 2, 3, 5, 7, 8}))
    assert late_writes(clients, events) == {
        note: "3 writes, before clients had been led to the DR site; lost of these: 4, 6"
    }
    assert late_writes(replace(clients, survivors=frozenset(range(1, 9))), events)[note].endswith("of these: none")
    assert late_writes(replace(clients, survivors=None), events) == {}
    assert late_writes(replace(clients, struck=8.0), events) == {}
