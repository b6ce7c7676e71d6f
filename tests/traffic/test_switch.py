"""V3: after the switch every address that clients may hold leads to DR, and a write has one outcome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.estate.config import load_config
from harness.estate.secrets import make_secrets
from harness.evidence.ledger import LedgerFile
from harness.patience import PATIENCE
from harness.recovery.traffic_switch import Edge, Reached, open_edge
from harness.substrate.embedded.substrate import Embedded
from harness.traffic.ledger_writer import LedgerWriter
from tests.traffic.backend import Backend

pytestmark = [pytest.mark.attacks, pytest.mark.programs]
CONFIG = load_config(Path(__file__).resolve().parents[2] / "estate.toml")
OLD, NEW = CONFIG.sites.primary.edge, CONFIG.sites.dr.edge


@pytest.fixture
def edge(tmp_path: Path, primary: Backend) -> Iterator[Edge]:
    made = Embedded(tmp_path / "run", tmp_path / "logs")
    secrets = make_secrets(tmp_path / "secrets", ())
    yield open_edge(made.site("edge"), CONFIG, secrets.of("names"), primary.address, "primary")
    made.sweep()


def test_every_address_that_clients_may_hold_leads_to_dr(edge: Edge, dr: Backend) -> None:
    port = edge.front.node.endpoint("http").outside.port
    before = edge.reached()
    status = edge.switch("dr", dr.address, NEW)
    assert before == (Reached(f"{OLD}:{port}", "primary"), Reached(f"{NEW}:{port}", "primary"))
    assert status.reached == (Reached(f"{OLD}:{port}", "dr"), Reached(f"{NEW}:{port}", "dr"))
    assert status.address == NEW


def test_a_front_door_that_is_gone_is_refused_at_every_address(edge: Edge) -> None:
    edge.front.node.kill()
    assert {one.site for one in edge.reached()} == {"refused"}


def test_an_address_that_leads_elsewhere_is_no_switch(
    edge: Edge, primary: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway of DR is in truth that of the primary: the name and the mark of the front door look right."""
    monkeypatch.setattr(PATIENCE, "traffic_switch", 0.5)
    with pytest.raises(HarnessError, match="answered by primary"):
        edge.switch("dr", primary.address, NEW)


def test_an_old_address_that_leads_to_the_old_site_is_no_switch(
    edge: Edge, dr: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PATIENCE, "traffic_switch", 0.5)
    monkeypatch.setattr(Edge, "reached", lambda _self: (Reached(f"{OLD}:80", "primary"), Reached(f"{NEW}:80", "dr")))
    with pytest.raises(HarnessError, match=f"older address are not led to dr: {OLD}:80 leads to primary"):
        edge.switch("dr", dr.address, NEW)


def test_a_write_in_flight_during_the_switch_is_acknowledged_or_failed_and_never_both(
    edge: Edge, primary: Backend, dr: Backend, tmp_path: Path
) -> None:
    """The ledger and what the sites took agree: an acknowledged write was taken, once, by one site."""
    ledger = LedgerFile(tmp_path / "ledger.jsonl")
    outcomes: list[tuple[int, bool]] = []

    def send(number: int) -> bool:
        try:
            done = edge.door.request("POST", f"/{number}", patience=PATIENCE.ledger_write).status == 200
        except OSError:
            outcomes.append((number, False))
            raise
        outcomes.append((number, done))
        return done

    writer, gone = LedgerWriter(send, ledger, rate=200.0), Event()

    def lose() -> None:
        gone.wait(10)
        primary.server.shutdown()
        primary.server.server_close()

    def acknowledged(more_than: int) -> None:
        wait_until(lambda: _require(len(ledger.ledger.acknowledged()) > more_than), patience=10, what="writes")

    loser = Thread(target=lose)
    loser.start()
    writer.start()
    acknowledged(20)
    gone.set()
    edge.switch("dr", dr.address, NEW)
    loser.join()
    acknowledged(len(ledger.ledger.acknowledged()) + 20)
    writer.stop()
    numbers = [number for number, _ in outcomes]
    assert numbers == sorted(set(numbers))  # each was sent once, and has one outcome
    acked = {write.number for write in ledger.ledger.acknowledged()}
    assert acked == {number for number, accepted in outcomes if accepted}
    taken = [int(line.rpartition("/")[2]) for line in (*primary.seen, *dr.seen) if line.startswith("POST")]
    assert len(taken) == len(set(taken))
    assert acked <= set(taken)
    assert not [n for n in taken if n not in {write.number for write in ledger.ledger.writes}]


def _require(true: bool) -> None:
    if not true:
        raise NotYet("too few")


@pytest.mark.parametrize("again", ["acknowledged twice", "acknowledged after a failure", "never sent"])
def test_the_ledger_takes_one_outcome_for_a_write(tmp_path: Path, again: str) -> None:
    ledger = LedgerFile(tmp_path / "ledger.jsonl")
    ledger.sent(1, 0.5)
    ledger.sent(2, 0.6)  # one writer: the first has failed
    if again == "acknowledged twice":
        ledger.acked(2, 0.7)
    number = {"acknowledged twice": 2, "acknowledged after a failure": 1, "never sent": 3}[again]
    with pytest.raises(HarnessError, match=f"write {number} "):
        ledger.acked(number, 0.8)
