"""A restore test in memory: its verdict, what it leaves on the DR site, and the record of each way of ending."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from harness.core.errors import Finding, HarnessError, TookTooLong
from harness.core.record import DrillRecord
from harness.evidence.folder import read_record
from harness.evidence.record import NOT_CONCLUDED
from harness.restore_test.restore_test import OwnGateway, RestoreTest
from tests.memory_drill import drill_of, start
from tests.memory_estate import NAME, NOBODY, MemoryEstate
from tests.repository.failing_store import FailingStore
from tests.restore_test.in_memory import made, require_cleared
from tests.substrate.fake import Outcome
from tests.traffic.backend import Backend

Fault = Callable[[MemoryEstate], object]
API_AWAY = TookTooLong("cluster dr: its API server does not answer within 60 s")


@pytest.fixture
def work(memory_estate: MemoryEstate, gateway: Backend, tmp_path: Path) -> RestoreTest:
    memory_estate.backed_up()
    return made(memory_estate, gateway, tmp_path)


def raise_(error: BaseException) -> NoReturn:
    raise error


def program(name: str, error: BaseException) -> Fault:
    def inject(estate: MemoryEstate) -> None:
        estate.fake.site("dr").programs = {**estate.fake.programs, name: lambda _call: raise_(error)}

    return inject


def traceback_of(work: RestoreTest) -> str:
    return (work.folder.logs / "traceback.log").read_text()


def test_a_restore_test_that_keeps_its_promise_leaves_the_site_as_it_was(
    memory_estate: MemoryEstate, work: RestoreTest
) -> None:
    record = work.run()
    assert (record.verdict, record.reasons) == ("KEPT", ())
    assert record == read_record(work.folder.path)
    assert (record.mode, record.rto_seconds, record.rpo_seconds) == ("restore test", None, None)
    assert record.exposure_seconds is not None
    assert {"age of the data", "from activation to key functions passed"} <= set(record.notes)
    require_cleared(memory_estate)
    assert [e.facts["containment"] for e in memory_estate.journal.events if e.kind == "contained"] == ["reversible"]
    assert memory_estate.edge.leads_to == "primary"


@pytest.mark.parametrize("same", [True, False])
def test_files_that_the_site_has_are_not_replaced(
    memory_estate: MemoryEstate, work: RestoreTest, *, same: bool
) -> None:
    """Files of DR that were replicated since the backup were replaced by those of the backup, and stayed so."""
    path, content = "files/a.txt", b"one" if same else b"newer than the backup"
    with memory_estate.fake.site("dr").volume(NAME).open(path, "wb") as target:
        target.write(content)
    record = work.run()
    assert record.verdict == ("KEPT" if same else "UNKNOWN"), record.reasons
    assert same or f"{path} was there before, with other content than in the backup" in record.reasons[0]
    with memory_estate.fake.site("dr").volume(NAME).open(path, "rb") as found:
        assert found.read() == content


FAILURES: dict[str, tuple[Fault, str]] = {
    "API server": (program("postgres", API_AWAY), "its API server does not answer"),
    "no backup": (lambda e: setattr(e.store, "_objects", {}), "no valid backup"),
    "restore": (lambda e: e.servers.ends.update(pg_restore=Outcome(1, errors="error: bad")), "database shop at "),
    "service": (program(NAME, HarnessError("no image")), "no image"),
    "key function": (lambda e: setattr(e.shop, "key_error", Finding("no order")), "the shop answers: no order"),
}


@pytest.mark.parametrize(("fault", "said"), FAILURES.values(), ids=FAILURES)
def test_a_recovery_that_fails_is_broken_and_cleared_away(
    memory_estate: MemoryEstate, work: RestoreTest, fault: Fault, said: str
) -> None:
    fault(memory_estate)
    record = work.run()
    assert record.verdict == "BROKEN"
    assert said in record.reasons[0]
    assert said in traceback_of(work)
    require_cleared(memory_estate)


@pytest.mark.parametrize(
    ("name", "error", "verdict"),
    [
        ("postgres", API_AWAY, "BROKEN"),
        ("postgres", OSError("no space left"), "BROKEN"),
        (NAME, HarnessError("no image"), "BROKEN"),
        (NAME, KeyboardInterrupt(), "UNKNOWN"),
        (NAME, ValueError("a defect"), "UNKNOWN"),
    ],
    ids=["API server away", "disk full", "service does not start", "interrupted", "defect"],
)
@pytest.mark.attacks
def test_v8_drill_and_restore_test_judge_alike(
    memory_estate: MemoryEstate, gateway: Backend, tmp_path: Path, name: str, error: BaseException, verdict: str
) -> None:
    drill = drill_of(memory_estate, tmp_path)
    start(drill)
    drill.back_up()
    drill.strike()
    program(name, error)(memory_estate)
    with pytest.raises(type(error)) as ended:
        drill.recover()
    drill.conclude_after(ended.value)
    memory_estate.fake.site("dr").destroy()
    memory_estate.servers.postgres["dr"].databases.clear()
    memory_estate.sites.pop("dr")
    tested = made(memory_estate, gateway, tmp_path).run()
    assert drill.record is not None
    assert (drill.record.verdict, tested.verdict) == (verdict, verdict)
    assert drill.record.reasons[0] == tested.reasons[0]


def test_an_interrupted_restore_test_is_cleared_away_and_leaves_a_record(
    memory_estate: MemoryEstate, work: RestoreTest
) -> None:
    memory_estate.shop.key_error = KeyboardInterrupt()
    record = work.run()
    assert (record.verdict, record.reasons) == ("UNKNOWN", ("interrupted before it was done",))
    assert "KeyboardInterrupt" in traceback_of(work)
    require_cleared(memory_estate)


def test_a_terminated_restore_test_is_cleared_away_and_leaves_a_record(
    memory_estate: MemoryEstate, work: RestoreTest
) -> None:
    sent: list[int] = []

    def terminate(_count: int) -> None:
        if not sent:
            sent.append(signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command does
    try:
        work.on_bytes = terminate
        record = work.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert sent
    assert (record.verdict, record.reasons) == ("UNKNOWN", ("interrupted before it was done",))
    assert "KeyboardInterrupt" in traceback_of(work)
    require_cleared(memory_estate)


def test_an_unexpected_exception_leaves_a_record_and_a_traceback(
    memory_estate: MemoryEstate, work: RestoreTest
) -> None:
    memory_estate.shop.fails["contain"] = ValueError("a defect")
    record = work.run()
    assert record.verdict == "UNKNOWN"
    assert record.reasons == ("unexpected ValueError: a defect; see logs/traceback.log",)
    assert "ValueError: a defect" in traceback_of(work)
    require_cleared(memory_estate)


def test_the_record_of_a_killed_restore_test_says_that_it_was_not_concluded(
    memory_estate: MemoryEstate, work: RestoreTest
) -> None:
    seen: list[DrillRecord] = []
    work.on_bytes = lambda _count: seen.append(read_record(work.folder.path))
    work.run()
    assert (seen[0].verdict, seen[0].reasons) == ("UNKNOWN", (NOT_CONCLUDED,))


def test_a_site_that_cannot_be_cleared_is_a_doubt(memory_estate: MemoryEstate, work: RestoreTest) -> None:
    memory_estate.servers.postgres["dr"].refused["DROP DATABASE"] = "being accessed by other users"
    record = work.run()
    assert record.verdict == "UNKNOWN"
    assert "database shop (being accessed by other users): remove it by DROP DATABASE" in record.reasons[0]


def test_an_exposure_that_cannot_be_measured_is_a_doubt(
    memory_estate: MemoryEstate, work: RestoreTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_words: object) -> float:
        raise HarnessError("the store does not answer")

    monkeypatch.setattr("harness.restore_test.restore_test.exposed_at", away)
    record = work.run()
    assert (record.verdict, record.reasons[0]) == ("UNKNOWN", "the store does not answer")


def test_a_gateway_of_another_site_is_refused_before_a_key_function_writes(
    memory_estate: MemoryEstate, work: RestoreTest
) -> None:
    with Backend("primary") as other:
        work.gateway = lambda: other.address
        record = work.run()
    assert record.verdict == "UNKNOWN"
    assert "is of site primary, not of dr" in record.reasons[0]
    assert not record.key_results
    require_cleared(memory_estate)


def test_no_client_is_led_to_a_restore_test(gateway: Backend) -> None:
    router = OwnGateway("www.shop.test", lambda: gateway.address)
    with pytest.raises(HarnessError, match=r"a restore test switches no traffic to dr .*; 2\.7: not drilled"):
        router.switch("dr", NOBODY, "127.0.0.3")


def test_a_repository_that_is_away_is_a_finding_of_the_selection(
    memory_estate: MemoryEstate, gateway: Backend, tmp_path: Path
) -> None:
    memory_estate.store = FailingStore(at=0, dead=True)
    record = made(memory_estate, gateway, tmp_path).run()
    assert record.verdict == "BROKEN"
    assert "failing store" in record.reasons[0]
