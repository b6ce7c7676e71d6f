"""What was received is shipped, and a hole begins where the WAL of the repository ends."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.wal import place_of_segment, segment_start, show_lsn
from harness.postgres.server import connect
from harness.repository.wal.catalogue import Leg, read_wal
from harness.repository.wal.findings import holes
from tests.physical.conftest import Archive, folder_of, lsn
from tests.physical.test_put_back import SIZE, alone, numbers, promote, shipped, write

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


@pytest.mark.parametrize("promoted", [False, True])
def test_a_slot_that_has_the_wal_behind_what_a_backup_shipped_is_used(
    alone: Archive, tmp_path: Path, promoted: bool
) -> None:
    """The slot was dropped, though it had all of it, and a hole was noted up to the newest checkpoint."""
    slot, sql = alone.source.slot, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
    first = max(at for _, at in read_wal(alone.repository).segments)
    write(alone, 2, 3)
    if promoted:  # the backup's WAL leads from one timeline to the next
        promote(alone)
        write(alone, 30)
    alone.db.execute("postgres", "CHECKPOINT")  # a slot that is made now keeps the WAL from here on
    write(alone, 4, 5)
    end = lsn(alone.db)
    alone.receiver(slot="other", purpose="backup", until=end).run(Event())
    alone.db.execute("postgres", sql, f"SELECT pg_create_physical_replication_slot('{slot}', true)", "CHECKPOINT")
    kept = {place_of_segment(one.name, SIZE)[1] for one in (folder_of(alone.db) / "pg_wal").glob("0000*0?")}
    restart = int(str(alone.db.one("postgres", "SELECT restart_lsn - '0/0'::pg_lsn FROM pg_replication_slots")))
    assert first + SIZE not in kept
    assert first + SIZE < restart < end
    assert segment_start(restart, SIZE) in kept
    receiver = alone.receiver(slot=slot)
    with alone.receiving(receiver):
        write(alone, 7)
        shipped(alone)
    assert not {"hole", "created"} & {event.kind for event in receiver.journal.events}
    assert [*holes(read_wal(alone.repository), 1), *holes(read_wal(alone.repository), 2)] == []
    assert numbers(alone, tmp_path) == [1, 2, 3, 4, 5, 7, *((30,) if promoted else ())]


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
