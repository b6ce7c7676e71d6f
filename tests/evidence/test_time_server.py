"""Offset of the wall clock, asked from a time server on this machine."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Thread

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.core.judge import Evidence
from harness.evidence.format.derived import origin_of
from harness.evidence.time_server import EPOCH, PACKET, REQUEST, measured_offset, note_offset
from tests.memory_drill import PROMISE

Answer = Callable[[], bytes]


def stamp(ahead: float) -> tuple[int, int]:
    seconds = (SYSTEM.wall() + timedelta(seconds=ahead) - EPOCH).total_seconds()
    return int(seconds), int(seconds % 1 * 2**32)


def answer(ahead: float = 0.0, first: int = 0b00_100_100, stratum: int = 2) -> bytes:
    return PACKET.pack(first, stratum, 0, 0, 0, 0, 0, *stamp(0), *stamp(0), *stamp(ahead), *stamp(ahead))


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Return a function that starts a time server with one answer, and returns HOST:PORT."""
    opened: list[socket.socket] = []

    def start(made: Answer) -> str:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        opened.append(server)

        def run() -> None:
            asked, client = server.recvfrom(100)
            assert asked == REQUEST
            server.sendto(made(), client)

        Thread(target=run, daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in opened:
        server.close()


@pytest.mark.parametrize("ahead", [0.0, 7.5, -86400.0])
def test_the_offset_of_the_clock_is_measured_and_recorded(serve: Callable[[Answer], str], ahead: float) -> None:
    journal = MemoryJournal()
    note_offset(serve(lambda: answer(ahead)), journal)
    origin = origin_of(Evidence(PROMISE), journal.events)
    assert origin.clock_offset_seconds == pytest.approx(ahead, abs=1)


WRONG: dict[str, Answer] = {
    "short": lambda: b"short",
    "not synchronised": lambda: answer(stratum=0),
    "too far": lambda: answer(stratum=16),
    "no server": lambda: answer(first=0b00_100_011),
}


@pytest.mark.parametrize("made", WRONG.values(), ids=WRONG)
def test_what_is_no_answer_of_a_time_server_is_not_measured(serve: Callable[[Answer], str], made: Answer) -> None:
    where, journal = serve(made), MemoryJournal()
    note_offset(where, journal)
    (event,) = journal.events
    assert (event.kind, event.subject) == ("clock not measured", where)
    assert origin_of(Evidence(PROMISE), journal.events).clock_offset_seconds is None


def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.time_server", 0.05)
    for server in ("127.0.0.1:9", "no.such.host.invalid", "127.0.0.1:port"):
        with pytest.raises(HarnessError, match=f"time server {server}: "):
            measured_offset(server)
    journal = MemoryJournal()
    note_offset("", journal)
    assert journal.events == ()
    assert struct.calcsize(">BBBb11I") == PACKET.size == 48
