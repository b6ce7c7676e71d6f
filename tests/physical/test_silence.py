"""A server or a network that is stuck ends the receiver with one line instead of hanging it."""

from __future__ import annotations

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from types import SimpleNamespace

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.patience import PATIENCE
from harness.postgres.replication.connection import Replication
from tests.physical.conftest import Archive

SENDER = "SELECT max(pid) FROM pg_stat_replication WHERE application_name = 'blackstart wal' AND state = 'streaming'"


def stop_sender(archive: Archive) -> int:
    """Stop the server's sender of WAL, once it streams, and return its process."""

    def found() -> int:
        if (process := archive.db.one("postgres", SENDER)) is None:
            raise NotYet("no sender of WAL")
        return int(str(process))

    process = wait_until(found, patience=20)
    os.kill(process, signal.SIGSTOP)
    return process


def test_a_receiver_whose_server_is_stuck_ends(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PATIENCE, "wal_silence", 2.0)
    stop, receiver = Event(), archive.receiver()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(receiver.run, stop)
        process = stop_sender(archive)
        try:
            with pytest.raises(HarnessError, match="sent nothing for 2 s on the WAL connection"):
                running.result(15)
        finally:
            os.kill(process, signal.SIGCONT)
            stop.set()


@pytest.mark.parametrize(("way", "arguments"), [("reply", (b"x",)), ("send", ("x",)), ("end_copy", ())])
def test_a_server_that_takes_nothing_is_an_error(
    way: str, arguments: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PATIENCE, "replication_silence", 0.1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while ours.send(bytes(1 << 16)):
                pass
        connection = Replication.__new__(Replication)
        connection.where = "PostgreSQL at here"
        connection._pg = SimpleNamespace(  # type: ignore[assignment]
            socket=ours.fileno(),
            flush=lambda: 1,
            send_query=lambda _: None,
            put_copy_data=lambda _: 1,
            put_copy_end=lambda: 1,
        )
        with pytest.raises(HarnessError, match=r"took nothing for 0\.1 s"):
            getattr(connection, way)(*arguments)
