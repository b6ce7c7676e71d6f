"""What was received is shipped, and a hole begins where the WAL of the repository ends."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.wal import place_of_segment, segment_start, show_lsn
from harness.postgres.server import connect
from harness.repository.wal.catalogue import Leg, read_wal
from tests.physical.conftest import Archive, folder_of, lsn
from tests.physical.test_put_back import SIZE, alone, shipped, write

__all__ = ["alone"]


def test_a_hole_begins_where_the_repository_ends(alone: Archive) -> None:
    """It was said to begin where the receiver had begun, and what came before the hole was received and not shipped."""
    write(alone, 2, 3, 4, 5, 6)
    (name,) = (str(alone.db.one("postgres", f"SELECT pg_walfile_name(pg_current_wal_lsn() - {SIZE})")),)
    (folder_of(alone.db) / "pg_wal" / name).unlink()
    alone.db.execute("postgres", "CHECKPOINT")
    receiver = alone.receiver(slot=alone.source.slot)
    with alone.receiving(receiver):
        write(alone, 7)
        shipped(alone)
    (hole,) = (event for event in receiver.journal.events if event.kind == "hole")
    _, start = place_of_segment(name, SIZE)
    assert hole.facts["begins"] == show_lsn(start)
    first = min(at for _, at in read_wal(alone.repository).segments)
    assert read_wal(alone.repository).reach(Leg(1, first, None))[0] == start


def lost() -> AbstractContextManager[object]:
    return pytest.raises(HarnessError, match="connection lost")


def test_what_was_received_is_shipped_when_the_server_is_lost(alone: Archive) -> None:
    """It was dropped, though the repository was there: up to `wal_seconds` of writes, and whole segments."""
    receiver = alone.receiver(slot=alone.source.slot, budget=60.0)

    def received() -> None:
        behind = "SELECT pg_current_wal_flush_lsn() - write_lsn FROM pg_stat_replication WHERE write_lsn IS NOT NULL"
        with connect(alone.db.sql, "postgres") as session:
            if session.execute(behind.encode()).fetchall() != [(0,)]:
                raise NotYet("not received")

    with lost(), alone.receiving(receiver):
        wait_until(received, patience=30)
        write(alone, 2, 3, 4, 5, 6)
        wait_until(received, patience=30)
        end = lsn(alone.db)
        alone.db.node.kill()
    assert read_wal(alone.repository).lacking(1, segment_start(end, SIZE) - 4 * SIZE, end) == ""
