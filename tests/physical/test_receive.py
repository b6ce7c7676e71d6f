"""WAL is received from a real server, shipped within its budget, and complete."""

from __future__ import annotations

from harness.core.clock import NotYet, wait_until
from harness.core.wal import segment_end, segment_start
from harness.repository.wal.catalogue import Leg, read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.reader import WalReader
from tests.physical.conftest import Archive, folder_of, lsn

SIZE = 16 << 20


def reached(archive: Archive, position: int, start: int) -> None:
    catalogue = read_wal(archive.repository)
    if (lacking := catalogue.lacking(1, start, position)) != "":
        raise NotYet(lacking)


def test_written_wal_is_shipped_within_its_budget_and_equals_the_servers_own(archive: Archive) -> None:
    with archive.receiving():
        archive.db.execute(
            "postgres", "DROP TABLE IF EXISTS t", "CREATE TABLE t AS SELECT generate_series(1, 200000) i"
        )
        archive.db.execute("postgres", "SELECT pg_switch_wal()", "CREATE TABLE u AS SELECT generate_series(1, 10) i")
        end = lsn(archive.db)
        start = segment_start(end, SIZE) - SIZE
        wait_until(lambda: reached(archive, end, start), patience=20)
        archive.db.execute("postgres", "DROP TABLE t, u")
        final = lsn(archive.db)
        wait_until(lambda: reached(archive, final, start), patience=20)
    catalogue = read_wal(archive.repository)
    assert wal_findings(archive.repository, catalogue) == ()
    reader = WalReader(archive.repository, archive.keys.dr[0])
    _, files = catalogue.reach(Leg(1, start, None))
    assert len(files) == 2
    for shipped in files:
        stored, own = reader.read(shipped), (folder_of(archive.db) / "pg_wal" / shipped.entry.name).read_bytes()
        assert stored == own[: len(stored)]
    assert len(reader.read(files[0])) == SIZE
    assert len([key.key for key in archive.repository.store.list("shop/wal-tail/")]) == 1


def test_a_receiver_that_was_stopped_leaves_no_hole(archive: Archive) -> None:
    with archive.receiving():
        archive.db.execute("postgres", "SELECT pg_switch_wal()", "CREATE TABLE a AS SELECT 1 i")
        first = lsn(archive.db)
        wait_until(lambda: reached(archive, first, segment_start(first, SIZE)), patience=20)
    for _ in range(3):
        archive.db.execute("postgres", "SELECT pg_switch_wal()", "INSERT INTO a SELECT 2")
    with archive.receiving():
        archive.db.execute("postgres", "DROP TABLE a")
        end = lsn(archive.db)
        wait_until(lambda: reached(archive, end, segment_start(first, SIZE)), patience=20)
    catalogue = read_wal(archive.repository)
    assert wal_findings(archive.repository, catalogue) == ()
    assert segment_end(end, SIZE) - segment_start(first, SIZE) >= 4 * SIZE
    assert catalogue.covered_until(1, end) is not None
