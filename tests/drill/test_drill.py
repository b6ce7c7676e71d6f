"""A drill in memory: its verdict, and the record that each way of ending leaves."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import BackupFailed, HarnessError, Refused, RestoreFailed, TookTooLong
from harness.core.record import DrillRecord
from harness.core.sequence import Branch, unseen
from harness.drill.drill import Drill
from harness.evidence.folder import read_record
from harness.evidence.record import NOT_CONCLUDED, conclude_unstarted
from tests.memory_drill import header, start
from tests.memory_estate import NAME, MemoryEstate
from tests.repository.failing_store import FailingStore
from tests.substrate.fake import Outcome

Fault = Callable[[MemoryEstate], object]
API_AWAY = TookTooLong("cluster dr: its API server does not answer within 60 s")


@pytest.fixture
def running(drill: Drill) -> Iterator[Drill]:
    """A drill with a client load and one backup."""
    start(drill)
    drill.back_up()
    yield drill
    drill.close()


def traceback_of(drill: Drill) -> str:
    return (drill.folder.logs / "traceback.log").read_text()


def record_of(drill: Drill) -> DrillRecord:
    return read_record(drill.folder.path)


def raise_(error: BaseException) -> NoReturn:
    raise error


def program(name: str, error: BaseException) -> Fault:
    def inject(estate: MemoryEstate) -> None:
        estate.fake.site("dr").programs = {**estate.fake.programs, name: lambda _call: raise_(error)}

    return inject


def test_a_drill_that_keeps_its_promise(running: Drill) -> None:
    running.strike()
    running.recover()
    record = running.conclude()
    assert (record.verdict, record.reasons) == ("KEPT", ())
    assert record == record_of(running)
    assert record.rto_seconds is not None
    assert record.acknowledged
    assert record.backup["id"] == running.receipts[0].backup_id
    assert [phase.name for phase in record.phases] == [
        "detect", "declare", "activate", "select", "fetch", "open", "restore", "db", "app", "switch", "key",
    ]  # fmt: skip
    parts = {one.what: one.took_seconds for one in record.overhead}
    assert {"the strike", "the witness of the strike"} <= set(parts)
    assert record.overhead_seconds == pytest.approx(sum(parts.values()), abs=0.001 * len(parts))  # each is rounded
    assert 0 < sum(parts.values()) < record.rto_seconds
    lacking = unseen(tuple(message.number for message in record.messages), Branch.MAIN)
    assert set(lacking) == {"1.1", "2.6.1", "2.6.1.1", "2.6.2", "2.6.2.1", "2.8.2"}  # by hand; no Odoo, no n8n
    assert "1.1: the backup was not taken by the schedule" in record.not_drilled


def test_writes_after_the_backup_are_lost_by_number(running: Drill) -> None:
    before = len(running.ledger.ledger.acknowledged())

    def written() -> None:
        if len(running.ledger.ledger.acknowledged()) < before + 5:
            raise NotYet("fewer than five writes since the backup")

    wait_until(written, patience=10, every=0.002)
    running.strike()
    running.recover()
    record = running.conclude()
    assert record.lost
    newest = running.ledger.ledger.last_before(running.fault or 0.0)
    assert newest is not None
    assert record.lost[-1] == newest.number
    assert record.rpo_seconds is not None


def empty_store(estate: MemoryEstate) -> None:
    for entry in list(estate.store.list("")):
        estate.store.delete(entry.key)


FAILURES: dict[str, tuple[Fault, str]] = {
    "API server": (program("postgres", API_AWAY), "its API server does not answer"),
    "no backup": (empty_store, "no valid backup"),
    "repository": (lambda e: setattr(e, "store", FailingStore(at=0, dead=True)), "failing store"),
    "restore": (lambda e: e.servers.ends.update(pg_restore=Outcome(1, errors="error: bad")), "database shop at .*bad"),
    "service": (program(NAME, HarnessError("no image")), "no image"),
    "disk": (program(NAME, OSError("no space left")), "no space left"),
    "switch": (lambda e: setattr(e.edge, "fails", TookTooLong("the switch of traffic")), "the switch of traffic"),
    "key function": (lambda e: setattr(e.shop, "key_error", OSError("reset")), "the shop answers: reset"),
}


@pytest.mark.parametrize(("fault", "said"), FAILURES.values(), ids=FAILURES)
def test_a_recovery_that_fails_is_broken_for_its_reason(
    running: Drill, memory_estate: MemoryEstate, fault: Fault, said: str
) -> None:
    running.strike()
    fault(memory_estate)
    reason = running.attempt(running.recover)
    record = running.conclude()
    assert record.verdict == "BROKEN"
    assert record.reasons[0] == reason
    assert re.search(said, reason)
    assert "service was not restored: the key functions did not pass" in record.reasons
    assert reason.split(": ")[-1] in traceback_of(running)


ENDINGS = {
    "interrupted": (KeyboardInterrupt(), "interrupted before it was done"),
    "defect": (ValueError("a defect"), "unexpected ValueError: a defect; see logs/traceback.log"),
    "guard": (Refused("not this site"), "not this site"),
}


@pytest.mark.parametrize(("error", "said"), ENDINGS.values(), ids=ENDINGS)
def test_a_drill_that_ends_early_leaves_an_unknown_record_and_a_traceback(
    running: Drill, memory_estate: MemoryEstate, error: BaseException, said: str
) -> None:
    assert record_of(running).reasons == (NOT_CONCLUDED,)
    running.strike()
    program(NAME, error)(memory_estate)
    with pytest.raises(type(error)) as ended:
        running.recover()
    running.conclude_after(ended.value)
    record = record_of(running)
    assert (record.verdict, record.finished != "") == ("UNKNOWN", True)
    assert said in record.reasons
    assert type(error).__name__ in traceback_of(running)


@pytest.mark.attacks
def test_a_recovery_that_restored_nothing_measured_nothing(running: Drill, memory_estate: MemoryEstate) -> None:
    """E4: `writes lost 0 of 12`, `0 MB, 0 rows`."""
    running.strike()
    empty_store(memory_estate)
    running.attempt(running.recover)
    running.conclude()
    data = json.loads((running.folder.path / "record.json").read_bytes())
    measured = ("rto_seconds", "rpo_seconds", "lost", "phantom", "lost_objects", "data_bytes", "data_rows")
    assert {data[name] for name in measured} == {"not measured"}
    assert data["acknowledged"] > 0


def test_a_drill_that_is_terminated_leaves_a_record(running: Drill, memory_estate: MemoryEstate) -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as `blackstart` and its pytest plugin do
    try:
        running.on_bytes = lambda _count: os.kill(os.getpid(), signal.SIGTERM)
        running.strike()
        with pytest.raises(KeyboardInterrupt) as ended:
            running.recover()
    finally:
        signal.signal(signal.SIGTERM, before)
    running.conclude_after(ended.value)
    assert "interrupted before it was done" in record_of(running).reasons
    assert "KeyboardInterrupt" in traceback_of(running)


def test_a_drill_that_is_interrupted_before_its_strike_leaves_a_record(running: Drill) -> None:
    running.conclude_after(KeyboardInterrupt())
    record = record_of(running)
    assert record.verdict == "UNKNOWN"
    assert record.reasons[0] == "interrupted before it was done"
    assert "no strike was carried out" in record.reasons


def test_a_drill_that_could_not_be_set_up_leaves_a_record(drill: Drill) -> None:
    record = conclude_unstarted(header(), drill.folder, drill.journal, HarnessError("no room on the disk"))
    assert (record.verdict, record.reasons[0]) == ("UNKNOWN", "no room on the disk")
    assert record == record_of(drill)
    assert "no room on the disk" in traceback_of(drill)


def test_a_scenario_that_asks_for_no_verdict_leaves_no_record(running: Drill) -> None:
    running.conclude_after(None)
    assert not (running.folder.path / "record.json").exists()


def test_a_concluded_record_is_final(running: Drill) -> None:
    first = running.conclude()
    running.conclude_after(KeyboardInterrupt())
    assert record_of(running) == first


def test_a_strike_that_no_client_noticed_is_unknown(running: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.strike_effect", 0.02)
    struck = running.strike(destroy=lambda _site: None)
    assert not struck.witnessed
    record = running.conclude()
    assert record.verdict == "UNKNOWN"
    assert "the strike had no effect on client requests" in record.reasons


def test_a_strike_without_a_client_load_is_refused(drill: Drill) -> None:
    drill.environment.start_data()
    with pytest.raises(HarnessError, match="no client load is running; start it before the primary is destroyed"):
        drill.strike()
    assert drill.environment.primary.nodes


def test_what_survived_is_doubted_when_it_cannot_be_read(running: Drill, memory_estate: MemoryEstate) -> None:
    running.strike()
    running.recover()
    memory_estate.edge.reads = OSError("connection reset")
    record = running.conclude()
    assert record.verdict == "UNKNOWN"
    assert "connection reset" in record.reasons
    assert "the surviving writes were not read" in record.reasons


def test_an_exposure_that_cannot_be_measured_is_a_doubt(running: Drill, memory_estate: MemoryEstate) -> None:
    running.strike()
    running.recover()
    memory_estate.store = FailingStore(at=0, dead=True)
    record = running.conclude()
    assert record.verdict == "UNKNOWN"
    assert "the exposure was not measured" in record.reasons


def test_the_rpo_is_not_stated_before_the_strike(running: Drill) -> None:
    assert running.rpo_met(running.environment.primary.place.sql) is None


def test_the_rpo_is_met_or_not_by_what_was_restored(running: Drill, memory_estate: MemoryEstate) -> None:
    running.strike()
    running.restore(running.select())
    assert running.restored is not None
    assert running.restored.rpo_met is True
    memory_estate.servers.postgres["dr"].databases[NAME].tables["writes"].clear()
    assert running.rpo_met(running.environment.dr.place.sql) is False


def test_a_failed_backup_is_a_finding(running: Drill, memory_estate: MemoryEstate) -> None:
    memory_estate.servers.ends["pg_dump"] = Outcome(1, errors="pg_dump: error: aborted")
    assert "aborted" in running.attempt(running.back_up)
    assert running.failures.findings
    with pytest.raises(BackupFailed):
        running.back_up()


def test_a_schedule_that_did_not_fire_in_time_is_said(running: Drill) -> None:
    with pytest.raises(HarnessError, match="the scheduled backup failed; see the journal"):
        running.back_up_on_schedule("0 0 0 1 1 *", patience=0.01)
    assert not running.scheduled


def test_the_recovery_goes_no_further_than_its_failure(running: Drill, memory_estate: MemoryEstate) -> None:
    running.strike()
    memory_estate.servers.ends["pg_restore"] = Outcome(1, errors="error: bad")
    with pytest.raises(RestoreFailed):
        running.recover()
    assert running.stopped == "restore"
    assert NAME not in running.environment.dr.nodes
