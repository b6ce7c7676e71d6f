"""The ledger writer: what it notes, and that its own death is noticed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM, wait_until
from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.core.service import Answer
from harness.services.notification.writer import LedgerWriter, survivors
from tests.services.notification.local import Door, LocalNode


@dataclass
class Notes:
    sent_at: dict[int, float] = field(default_factory=dict)
    acked_at: dict[int, float] = field(default_factory=dict)
    full_at: int = 0

    def sent(self, number: int, at: float) -> None:
        assert number not in self.sent_at, "a number is used once"
        self.sent_at[number] = at

    def acked(self, number: int, at: float) -> None:
        if number == self.full_at:
            raise OSError(28, "No space left on device")
        self.acked_at[number] = at


@dataclass
class Script:
    """A front door that answers what it is told to."""

    answer: Callable[[int], int]
    asked: int = 0

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] = {},
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        assert patience <= 1.0
        self.asked += 1
        return Answer(self.answer(self.asked), b"{}", {})


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_text("clients-key")
    return f"file:{tmp_path / 'key'}"


def refuse_after(count: int) -> Callable[[int], int]:
    def answer(number: int) -> int:
        if number > count:
            raise ConnectionRefusedError(111, "Connection refused")
        return 202

    return answer


def until(condition: Callable[[], bool]) -> None:
    def probe() -> None:
        assert condition()

    wait_until(probe, patience=5, on=AssertionError, every=0.01)


@pytest.mark.programs
def test_what_was_acknowledged_is_found_again(door: Door, secrets: dict[str, str], service: LocalNode) -> None:
    notes = Notes()
    writer = LedgerWriter(door, notes, secrets["gateway-key"], rate=50)
    writer.start()
    last = writer.wait_acked(20)
    assert writer.ok
    assert writer.last_ack is not None
    assert last <= writer.last_ack <= SYSTEM.monotonic()
    service.kill()
    until(lambda: writer.consecutive_failures >= 3)
    assert not writer.ok
    service.start()
    count = len(notes.acked_at)
    writer.wait_acked(count + 5)
    writer.stop()
    failed = set(notes.sent_at) - set(notes.acked_at)
    assert failed, "no write failed while the service was dead"
    assert survivors(door, secrets["gateway-key"]) >= set(notes.acked_at)
    assert all(notes.sent_at[n] <= at for n, at in notes.acked_at.items())


def test_the_rate_is_kept(key: str) -> None:
    notes = Notes()
    writer = LedgerWriter(Script(refuse_after(10**6)), notes, key, rate=50)
    begin = SYSTEM.monotonic()
    writer.start()
    writer.wait_acked(26)
    took = SYSTEM.monotonic() - begin
    writer.stop()
    assert 0.45 <= took < 1.5


@pytest.mark.parametrize("status", [200, 401, 429, 500, 502, 503])
def test_only_202_is_an_acknowledgement(key: str, status: int) -> None:
    notes = Notes()
    writer = LedgerWriter(Script(lambda _number: status), notes, key, rate=200)
    writer.start()
    until(lambda: writer.consecutive_failures > 3)
    with pytest.raises(TookTooLong, match="0 of 1 writes acknowledged"):
        writer.wait_acked(1, patience=0.05)
    assert (writer.last_ack, writer.ok) == (None, False)
    writer.stop()
    assert notes.acked_at == {}


def test_failures_are_counted_from_the_newest_acknowledgement(key: str) -> None:
    notes = Notes()
    writer = LedgerWriter(Script(refuse_after(3)), notes, key, rate=200)
    writer.start()
    until(lambda: writer.consecutive_failures >= 5)
    assert writer.last_ack == notes.acked_at[3]
    writer.stop()
    assert set(notes.acked_at) == {1, 2, 3}
    assert len(notes.sent_at) == max(notes.sent_at)


def test_a_book_that_cannot_be_kept_ends_the_writer_and_is_noticed(key: str) -> None:
    writer = LedgerWriter(Script(refuse_after(10**6)), Notes(full_at=3), key, rate=200)
    writer.start()
    with pytest.raises(HarnessError, match=r"died at write 3: .*No space left on device"):
        writer.wait_acked(10)
    with pytest.raises(HarnessError, match="died at write 3"):
        assert writer.consecutive_failures >= 0
    writer.stop()


def test_stop_tells_of_a_death_once(key: str) -> None:
    writer = LedgerWriter(Script(refuse_after(10**6)), Notes(full_at=1), key, rate=200)
    writer.start()
    until(lambda: not writer._thread.is_alive())
    with pytest.raises(HarnessError, match="died at write 1"):
        writer.stop()
    writer.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_in_the_writer_is_noticed_too(key: str) -> None:
    def broken(number: int) -> int:
        raise RuntimeError(number)

    writer = LedgerWriter(Script(broken), Notes(), key, rate=200)
    writer.start()
    with pytest.raises(HarnessError, match="died at write 1: its traceback"):
        writer.wait_acked(1)
    writer.stop()


def test_it_may_be_stopped_before_it_began_and_twice(key: str) -> None:
    writer = LedgerWriter(Script(refuse_after(0)), Notes(), key)
    writer.stop()
    writer.stop()


def test_a_key_that_cannot_be_read_is_said_at_once() -> None:
    with pytest.raises(UsageError, match="file:/nowhere"):
        LedgerWriter(Script(refuse_after(0)), Notes(), "file:/nowhere")
