"""A server whose data folder was put back, or whose WAL was reset, does not mix two states in one archive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import chain, count, repeat
from pathlib import Path
from threading import Event

import pytest

from harness.backup.status import server_state, status_of
from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.core.wal import Switch, segment_start
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.continuity import require_same
from harness.physical.programs import programs_of
from harness.physical.receive import Receiver
from harness.physical.restore import restore
from harness.physical.shipper import History
from harness.physical.target import read_target
from harness.postgres.server import connect
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.writer import begin_wal
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive, folder_of, lsn
from tests.physical.test_restore import running
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import start_database

SIZE = 16 << 20
DAILY = "0 15 2 * * *"
NUMBERS = count(1)


@pytest.fixture
def alone(substrate: Embedded, tmp_path: Path, recipients: Recipients) -> Archive:
    """Return a server of its own with a table and a base backup, all of whose WAL is shipped."""
    site = substrate.site(f"alone{next(NUMBERS)}")
    archive = Archive(start_database(site, tmp_path), recipients.repository(MemoryStore()), recipients)
    archive.db.execute("postgres", "CREATE TABLE kept (i int)", "INSERT INTO kept VALUES (1)")
    with receiving(archive):
        take_physical(archive.source, MemoryJournal())
    return archive


def receiving(archive: Archive) -> AbstractContextManager[Receiver]:
    return archive.receiving(archive.receiver(slot=archive.source.slot))


def write(archive: Archive, *numbers: int) -> None:
    with connect(archive.db.sql, "postgres") as session:
        for number in numbers:
            session.execute("SELECT pg_switch_wal()")
            session.execute("INSERT INTO kept VALUES (%s)", (number,))


def shipped(archive: Archive) -> None:
    """Wait until all that the server has written is in the repository."""
    end, name = lsn(archive.db), archive.db.one("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())")

    def there() -> None:
        timeline = int(str(name)[:8], 16)
        if lacking := read_wal(archive.repository).lacking(timeline, segment_start(end, SIZE), end):
            raise NotYet(lacking)

    wait_until(there, patience=30)


def stop(archive: Archive) -> None:
    archive.db.execute("postgres", "CHECKPOINT")
    archive.db.node.kill()


@contextmanager
def snapshot(archive: Archive) -> Iterator[None]:
    """Put the data folder back to the state before the block."""
    folder = folder_of(archive.db)
    kept = folder.with_name("snapshot")
    stop(archive)
    shutil.copytree(folder, kept, symlinks=True)
    archive.db.node.start()
    yield
    stop(archive)
    shutil.rmtree(folder)
    kept.rename(folder)
    archive.db.node.start()


def put_back(archive: Archive, *lost: int) -> None:
    """Write rows and ship them, then put the data folder back to the state before."""
    with snapshot(archive), receiving(archive):
        write(archive, *lost)
        shipped(archive)


def test_another_server_with_a_history_of_its_own_of_one_timeline_is_not_followed(alone: Archive) -> None:
    """Two copies of one server, each promoted to timeline 2 at another position: WAL of both would restore neither."""
    with snapshot(alone):
        promote(alone)
        with receiving(alone):
            write(alone, 2)
            shipped(alone)
    write(alone, 10)
    promote(alone)
    write(alone, 11, 12, 13)  # beyond what was shipped
    before = read_wal(alone.repository).digests
    with pytest.raises(HarnessError, match="its history of timeline 2 is not the one in the repository: two servers"):
        alone.receiver(alone.source.slot, until=lsn(alone.db)).run(Event())
    assert read_wal(alone.repository).digests == before


def numbers(archive: Archive, tmp_path: Path, timeline: int = 0) -> list[int]:
    wanted, key = Wanted(read_target("latest"), timeline=timeline), archive.keys.dr[0]
    done = restore(archive.repository, key, wanted, tmp_path / f"data{timeline}", MemoryJournal())
    with running(done.folder, tmp_path / f"run{timeline}") as session:
        return [int(i) for (i,) in session.execute("SELECT i FROM kept ORDER BY i").fetchall()]


def test_a_server_behind_its_archive_is_not_followed_until_it_begins_a_timeline(alone: Archive, tmp_path: Path) -> None:
    """Its WAL was mixed with that of the later state once it had overtaken it, and no finding named it."""
    put_back(alone, 2, 3, 4)
    said = r"is at 0/.* of timeline 1, and the repository has its WAL up to 0/"
    with pytest.raises(HarnessError, match=said):
        take_physical(alone.source, MemoryJournal())
    with pytest.raises(HarnessError, match=said):
        alone.receiver(alone.source.slot).run(Event())
    now = status_of(alone.repository, partial(server_state, alone.db.sql, alone.source.slot), DAILY, 1.0)
    assert now.lost_bytes is None  # it said 0
    assert any("was put back to an earlier state" in line for line in now.alarms)
    promote(alone)
    write(alone, 20)
    with receiving(alone):
        shipped(alone)
    assert numbers(alone, tmp_path) == [1, 20]
    assert numbers(alone, tmp_path, 1) == [1, 2, 3, 4]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_the_clock_of_who_ships_wal_does_not_say_whether_a_server_was_put_back(alone: Archive, minutes: int) -> None:
    """With clocks ten minutes apart, WAL that was shipped meanwhile was an alarm, and a server put back was none."""
    clock = replace(SYSTEM, wall=lambda: SYSTEM.wall() + timedelta(minutes=minutes))
    archive = replace(alone, repository=replace(alone.repository, clock=clock))
    ask = partial(server_state, archive.db.sql, archive.source.slot)
    with snapshot(archive):
        first = ask()
        with receiving(archive):
            write(archive, 2, 3)
            shipped(archive)
        later = chain((first,), repeat(ask()))
        now = status_of(archive.repository, lambda: next(later), DAILY, 1.0)
        assert now.lost_bytes is not None
        assert not any("was put back" in line for line in now.alarms)
    now = status_of(archive.repository, ask, DAILY, 1.0)
    assert now.lost_bytes is None
    assert any("was put back to an earlier state" in line for line in now.alarms)


def promote(archive: Archive, *settings: str) -> None:
    """Begin a new timeline, as the message of a server that was put back says: nothing is there to be replayed."""
    stop(archive)
    (folder_of(archive.db) / "recovery.signal").touch()
    with (folder_of(archive.db) / "postgresql.auto.conf").open("a") as file:
        file.write("\n".join(("restore_command = 'false'", *settings, "")))
    archive.db.node.start()
    wait_until(lambda: promoted(archive), patience=30)


def promoted(archive: Archive) -> None:
    if archive.db.one("postgres", "SELECT pg_is_in_recovery()"):
        raise NotYet("still in recovery")


@pytest.mark.night
def test_a_new_timeline_gets_a_number_that_the_repository_does_not_have(alone: Archive, tmp_path: Path) -> None:
    """The remedy ended in a refusal: the server's new timeline had the number of one that was shipped."""
    with snapshot(alone):
        for number in (2, 3, 4):
            if number > 2:
                promote(alone)
            with receiving(alone):
                write(alone, number)
                shipped(alone)
        assert read_wal(alone.repository).timelines == (1, 2, 3)
    with pytest.raises(HarnessError, match="was put back to an earlier state") as refused:
        take_physical(alone.source, MemoryJournal())
    assert "empty files 00000002.history to 00000003.history in its pg_wal" in str(refused.value)
    assert "restore_command = 'false' and recovery_target_timeline = 'current'" in str(refused.value)
    for name in ("00000002.history", "00000003.history"):
        (folder_of(alone.db) / "pg_wal" / name).touch()
    promote(alone, "recovery_target_timeline = 'current'")
    receiver = alone.receiver(slot=alone.source.slot)
    with alone.receiving(receiver):
        write(alone, 20)
        shipped(alone)
    assert "hole" not in [event.kind for event in receiver.journal.events]
    assert numbers(alone, tmp_path) == [1, 20]
    take_physical(alone.source, MemoryJournal())
    assert numbers(alone, tmp_path, 4) == [1, 20]
    assert numbers(alone, tmp_path, 3) == [1, 2, 3, 4]


def test_a_server_that_has_overtaken_its_archive_is_found_by_its_wal(alone: Archive, tmp_path: Path) -> None:
    put_back(alone, 2, 3)
    write(alone, *range(10, 16))
    before = [one.key for one in alone.repository.store.list("")]
    with pytest.raises(HarnessError, match=r"its WAL from 0/.* to 0/.* of timeline 1 is not what is in the repository"):
        alone.receiver(alone.source.slot, until=lsn(alone.db)).run(Event())
    assert [one.key for one in alone.repository.store.list("") if "/wal-" in one.key] == [
        key for key in before if "/wal-" in key
    ]
    assert numbers(alone, tmp_path) == [1, 2, 3]


def holes_until_a_backup(alone: Archive) -> int:
    """Receive, write a row, and take a backup; return how many holes the receiver noted."""
    receiver = alone.receiver(slot=alone.source.slot)
    with alone.receiving(receiver):
        write(alone, 7)
        shipped(alone)
        take_physical(alone.source, MemoryJournal())
    return [event.kind for event in receiver.journal.events].count("hole")


def test_wal_that_the_server_has_reset_is_a_hole_and_the_archive_goes_on(alone: Archive, tmp_path: Path) -> None:
    """The receiver failed again and again, and named another reason: `no COPY in progress`."""
    stop(alone)
    (folder_of(alone.db) / "postmaster.pid").unlink()
    programs_of(18).run("pg_resetwal", "--force", "-D", str(folder_of(alone.db)))
    alone.db.node.start()
    assert holes_until_a_backup(alone) == 1
    assert numbers(alone, tmp_path) == [1, 7]


def test_wal_that_the_server_has_discarded_is_a_hole_and_the_archive_goes_on(alone: Archive, tmp_path: Path) -> None:
    """Once max_slot_wal_keep_size had taken effect, the receiver never went on."""
    alone.db.execute("postgres", "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
    write(alone, 2, 3, 4, 5)
    alone.db.execute("postgres", "CHECKPOINT")
    assert alone.db.one("postgres", "SELECT wal_status FROM pg_replication_slots") == "lost"
    alone.db.execute("postgres", "ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
    assert holes_until_a_backup(alone) == 1
    assert numbers(alone, tmp_path) == [1, 2, 3, 4, 5, 7]


def test_another_history_of_a_timeline_is_refused(recipients: Recipients) -> None:
    repository = recipients.repository(MemoryStore())
    writer = begin_wal(repository, "7391", SIZE, recipients.public, recipients.writer[0], None)
    first, other = (History("00000002.history", 2, f"1\t0/{at}\tx\n".encode(), (Switch(1, at),)) for at in (10, 20))
    writer.commit([writer.put_history(first.name, 2, first.text, first.switches)], None)
    catalogue = read_wal(repository)
    require_same("db", first, catalogue)
    with pytest.raises(HarnessError, match="db: its history of timeline 2 is not the one in the repository"):
        require_same("db", other, catalogue)
