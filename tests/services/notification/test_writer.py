"""The ledger writer: what it records, and that its death is reported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM, wait_until
from harness.core.errors import HarnessError, UsageError
from harness.core.service import Answer, Place
from harness.s3.client import client
from harness.services.notification.load import content, sender, store_clients, survivors
from harness.substrate.embedded.node import ProcessNode
from harness.traffic.ledger_writer import LedgerWriter
from tests.services.doors import DirectDoor


@dataclass
class RecordedWrites:
    """A ledger in memory, on a disk that is full at write `full_at`."""

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
class ScriptedDoor:
    """A front door whose answers are computed from the number of the request."""

    answer: Callable[[int], int]
    requests: int = 0

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        assert patience <= 1.0
        self.requests += 1
        return Answer(self.answer(self.requests), b"{}", {})


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
def test_every_acknowledged_write_is_read_back_after_a_crash(
    door: DirectDoor, secrets: Mapping[str, str], service: ProcessNode
) -> None:
    notes = RecordedWrites()
    writer = LedgerWriter(sender(door, {"gateway-key": secrets["gateway-key"]}), notes, rate=50)
    writer.start()
    until(lambda: len(notes.acked_at) >= 20)
    assert writer.consecutive_failures == 0
    assert notes.sent_at[20] <= notes.acked_at[20] <= SYSTEM.monotonic()
    service.kill()
    until(lambda: writer.consecutive_failures >= 3)
    service.start()
    count = len(notes.acked_at)
    until(lambda: len(notes.acked_at) >= count + 5)
    writer.stop()
    failed = set(notes.sent_at) - set(notes.acked_at)
    assert failed, "no write failed while the service was dead"
    assert survivors(door, secrets) >= set(notes.acked_at)
    assert all(notes.sent_at[n] <= at for n, at in notes.acked_at.items())


@pytest.mark.programs
def test_a_file_is_found_again_only_if_it_is_whole(door: DirectDoor, secrets: Mapping[str, str], place: Place) -> None:
    (clients,) = store_clients("notification")
    assert clients.name == "notification attachments"
    send = clients.sender(door, {"gateway-key": secrets["gateway-key"]})
    assert [send(number) for number in (1, 2, 3, 4)] == [True] * 4
    assert clients.survivors(door, secrets, place) >= {1, 2, 3, 4}
    key = {n: f"attachments/{hashlib.sha256(content(n)).hexdigest()}/file.bin" for n in (2, 3)}
    store = client(place.s3)
    store.remove_object("notifications", key[2])
    store.put_object("notifications", key[3], BytesIO(b"another"), len(b"another"))
    assert clients.survivors(door, secrets, place) == {1, 4}


def test_writes_are_sent_at_the_given_rate(key: str) -> None:
    notes = RecordedWrites()
    writer = LedgerWriter(sender(ScriptedDoor(refuse_after(10**6)), {"gateway-key": key}), notes, rate=50)
    begin = SYSTEM.monotonic()
    writer.start()
    until(lambda: len(notes.acked_at) >= 26)
    took = SYSTEM.monotonic() - begin
    writer.stop()
    assert 0.45 <= took < 10  # on a busy machine


@pytest.mark.parametrize("status", [200, 401, 429, 500, 502, 503])
def test_only_202_is_an_acknowledgement(key: str, status: int) -> None:
    notes = RecordedWrites()
    writer = LedgerWriter(sender(ScriptedDoor(lambda _number: status), {"gateway-key": key}), notes, rate=200)
    writer.start()
    until(lambda: writer.consecutive_failures > 3)
    writer.stop()
    assert notes.acked_at == {}


def test_failures_are_counted_since_the_last_acknowledgement(key: str) -> None:
    notes = RecordedWrites()
    writer = LedgerWriter(sender(ScriptedDoor(refuse_after(3)), {"gateway-key": key}), notes, rate=200)
    writer.start()
    until(lambda: writer.consecutive_failures >= 5)
    writer.stop()
    assert set(notes.acked_at) == {1, 2, 3}
    assert len(notes.sent_at) == max(notes.sent_at)


def test_a_ledger_that_cannot_be_written_stops_the_writer_and_is_reported(key: str) -> None:
    writer = LedgerWriter(
        sender(ScriptedDoor(refuse_after(10**6)), {"gateway-key": key}), RecordedWrites(full_at=3), rate=200
    )
    writer.start()
    until(lambda: not writer._thread.is_alive())
    with pytest.raises(HarnessError, match=r"died at write 3: .*No space left on device"):
        assert writer.consecutive_failures >= 0
    writer.stop()


def test_stop_reports_a_dead_writer_once(key: str) -> None:
    writer = LedgerWriter(
        sender(ScriptedDoor(refuse_after(10**6)), {"gateway-key": key}), RecordedWrites(full_at=1), rate=200
    )
    writer.start()
    until(lambda: not writer._thread.is_alive())
    with pytest.raises(HarnessError, match="died at write 1"):
        writer.stop()
    writer.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unexpected_exception_in_the_writer_is_reported(key: str) -> None:
    def broken(number: int) -> int:
        raise RuntimeError(number)

    writer = LedgerWriter(sender(ScriptedDoor(broken), {"gateway-key": key}), RecordedWrites(), rate=200)
    writer.start()
    until(lambda: not writer._thread.is_alive())
    with pytest.raises(HarnessError, match="died at write 1: its traceback"):
        assert writer.consecutive_failures >= 0
    writer.stop()


def test_stop_may_be_called_before_start_and_twice(key: str) -> None:
    writer = LedgerWriter(sender(ScriptedDoor(refuse_after(0)), {"gateway-key": key}), RecordedWrites())
    writer.stop()
    writer.stop()


def test_an_unreadable_key_is_reported_at_once() -> None:
    with pytest.raises(UsageError, match="file:/nowhere"):
        sender(ScriptedDoor(refuse_after(0)), {"gateway-key": "file:/nowhere"})
