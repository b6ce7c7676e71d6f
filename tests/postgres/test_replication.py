"""A replication connection leaves the other threads of the process at work, also one that relays to the server."""

from __future__ import annotations

import socket
from pathlib import Path
from threading import Thread

import pytest

from harness.core.errors import HarnessError
from harness.core.node import Address
from harness.core.service import Sql
from harness.patience import PATIENCE
from harness.postgres.replication.connection import Replication


def test_a_connection_through_a_thread_of_the_same_process_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It timed out: the thread could not run before the attempt had ended."""
    monkeypatch.setattr(PATIENCE, "sql_connect", 30.0)
    (tmp_path / "password").write_text("none is asked for")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1)  # what the client asks for comes first

        thread = Thread(target=refuse, daemon=True)
        thread.start()
        address = Address(*server.getsockname())
        sql = Sql(address, address, "postgres", f"file:{tmp_path / 'password'}")
        with pytest.raises(HarnessError, match=r"no replication connection .*closed the connection|reset by peer"):
            Replication(sql, "a test")
        thread.join(1)
        assert not thread.is_alive()
