"""Point in time: five targets on a real server; what is outside is refused; nothing is restored over anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import NoValidBackup, Refused, Unreadable, UsageError
from harness.core.journal import MemoryJournal
from harness.core.node import Address
from harness.core.service import Sql
from harness.core.wal import show_lsn
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.private_server import Running, running_server
from harness.physical.programs import programs_of
from harness.physical.receive import Receiver
from harness.physical.restore import PointInTime, restore
from harness.physical.target import read_target
from harness.postgres.server import connect
from harness.repository.catalogue import Repository
from harness.repository.wal.catalogue import read_wal
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive, lsn
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import start_database


@dataclass(frozen=True, slots=True)
class Written:
    """A repository with two base backups and five writes after the first; the moment after each write."""

    archive: Archive
    first: str
    second: str
    began: datetime
    times: dict[int, datetime]
    positions: dict[int, int]
    transactions: dict[int, str]


def clock(archive: Archive) -> datetime:
    found = archive.db.one("postgres", "SELECT clock_timestamp()")
    assert isinstance(found, datetime)
    return found


@pytest.fixture(scope="module")
def written(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory, recipients: Recipients) -> Written:
    """Write 1, 2, the named point `noon`, 3, a mistaken DELETE of all, 4; take a second backup between 1 and 2."""
    db = start_database(substrate.site("production"), tmp_path_factory.mktemp("production"))
    archive = Archive(db, recipients.repository(MemoryStore()), recipients)
    times, positions, transactions = {}, {}, {}

    def write(number: int, statement: str) -> None:
        with connect(db.sql, "postgres", autocommit=False) as session:
            session.execute(statement.encode())
            row = session.execute("SELECT pg_current_xact_id()").fetchone()
        assert row is not None
        transactions[number], positions[number] = str(row[0]), lsn(db)
        times[number] = clock(archive)
        SYSTEM.sleep(0.05)

    db.execute("postgres", "CREATE TABLE kept (i int)")
    began = clock(archive)
    with archive.receiving(archive.receiver(slot=archive.source.slot)):
        first = take_physical(archive.source, MemoryJournal()).backup_id
        write(1, "INSERT INTO kept VALUES (1)")
        db.execute("postgres", "SELECT pg_switch_wal()")
        second = take_physical(archive.source, MemoryJournal()).backup_id
        write(2, "INSERT INTO kept VALUES (2)")
        db.execute("postgres", "SELECT pg_create_restore_point('noon')")
        write(3, "INSERT INTO kept VALUES (3)")
        write(9, "DELETE FROM kept")
        write(4, "INSERT INTO kept VALUES (4)")
        covered(archive, clock(archive))
    return Written(archive, first, second, began, times, positions, transactions)


def covered(archive: Archive, time: datetime) -> None:
    """Wait until the repository covers that time: the server is asked for a sign of life after a second."""

    def there() -> None:
        known = [one.covered_until for one in read_wal(archive.repository).lists if one.covered_until is not None]
        if max(known) < time:
            archive.db.execute("postgres", "SELECT pg_logical_emit_message(false, 'alive', '')", "CHECKPOINT")
            raise NotYet(f"covered until {max(known)}")

    wait_until(there, patience=40, every=0.5)


def restored(written: Written, folder: Path, to: str, backup_id: str = "") -> PointInTime:
    wanted, key = Wanted(read_target(to), backup_id), written.archive.keys.dr[0]
    return restore(written.archive.repository, key, wanted, folder, MemoryJournal())


@contextmanager
def running(folder: Path, place: Path, settings: Mapping[str, str] | None = None) -> Iterator[psycopg.Connection]:
    """Start a server on a restored folder, as its owner does, and connect to it."""
    place.mkdir(mode=0o700)
    with running_server(programs_of(18), folder, place, settings or {}) as process:
        server = Running(process, place, "postgres")
        wait_until(server.promoted, patience=30)
        with psycopg.connect(host=str(place), user="postgres", dbname="postgres") as session:
            yield session


def rows(folder: Path, tmp_path: Path) -> list[int]:
    tmp_path.mkdir(exist_ok=True)
    with running(folder, tmp_path / "run") as session:
        return [int(i) for (i,) in session.execute("SELECT i FROM kept ORDER BY i").fetchall()]


def test_to_a_time(written: Written, tmp_path: Path) -> None:
    done = restored(written, tmp_path / "data", f"time={written.times[3].isoformat()}")
    assert done.backup_id == written.second
    assert rows(done.folder, tmp_path) == [1, 2, 3]


def test_to_a_position(written: Written, tmp_path: Path) -> None:
    done = restored(written, tmp_path / "data", f"lsn={show_lsn(written.positions[2])}")
    assert done.position >= written.positions[2]
    assert rows(done.folder, tmp_path) == [1, 2]


def test_to_a_transaction(written: Written, tmp_path: Path) -> None:
    done = restored(written, tmp_path / "data", f"xid={written.transactions[9]}")
    assert rows(done.folder, tmp_path) == []


def test_to_a_name(written: Written, tmp_path: Path) -> None:
    assert rows(restored(written, tmp_path / "data", "name=noon").folder, tmp_path) == [1, 2]


def test_to_just_before_a_mistaken_delete(written: Written, tmp_path: Path) -> None:
    done = restored(written, tmp_path / "data", f"before=xid:{written.transactions[9]}")
    assert rows(done.folder, tmp_path) == [1, 2, 3]
    with running(done.folder, tmp_path / "again") as session:
        row = session.execute("SELECT setting FROM pg_file_settings WHERE name = 'archive_mode'").fetchone()
    assert row == ("off",)


def test_to_the_latest_state(written: Written, tmp_path: Path) -> None:
    done = restored(written, tmp_path / "data", "latest")
    assert done.backup_id == written.second
    assert done.position >= written.positions[4]
    assert rows(done.folder, tmp_path) == [4]


def test_a_transaction_before_the_newest_backup_is_reached_from_the_one_before(
    written: Written, tmp_path: Path
) -> None:
    done = restored(written, tmp_path / "data", f"before=xid:{written.transactions[1]}")
    assert done.backup_id == written.first
    assert rows(done.folder, tmp_path) == []


def test_a_time_after_the_last_write_is_the_state_at_the_end(written: Written, tmp_path: Path) -> None:
    """PostgreSQL refuses it: no transaction was committed after it. The signed lists say that none is missing."""
    catalogue = read_wal(written.archive.repository)
    until = max(one.covered_until for one in catalogue.lists if one.covered_until is not None)
    assert until > written.times[4]
    done = restored(written, tmp_path / "data", f"time={written.times[4].isoformat()}")
    assert rows(done.folder, tmp_path) == [4]


@pytest.mark.parametrize(
    ("to", "shown"),
    [
        ("lsn=0/1000000", "outside of what can be reached"),
        ("lsn=FF/0", "outside of what can be reached"),
        ("time=2001-01-01T00:00:00Z", "outside of what can be reached"),
        ("time=2099-01-01T00:00:00Z", "outside of what can be reached"),
        ("name=never", "not found there"),
        ("xid=4000000000", "not found there"),
    ],
)
def test_what_is_outside_is_refused_with_the_range(written: Written, tmp_path: Path, to: str, shown: str) -> None:
    with pytest.raises(Refused, match=shown) as refused:
        restored(written, tmp_path / "data", to)
    assert f"backup {written.first}: 0/" in str(refused.value)
    assert "on timeline 1" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_restored_over_anything(written: Written, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("kept")
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("18\n")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for folder, reason in (
        (full, "is not empty"),
        (cluster, "has a database server's data"),
        (cluster / "base", "is inside the data directory"),
        (link, "is no folder"),
        (full / "notes.txt", "is no folder"),
        (tmp_path / "a" / "b", "its parent folder does not exist"),
    ):
        with pytest.raises(UsageError, match=reason):
            restored(written, folder, "latest")
    assert (full / "notes.txt").read_text() == "kept"


def test_a_hole_in_the_wal_ends_what_can_be_reached(written: Written, tmp_path: Path) -> None:
    repository = copy_of(written.archive.repository)
    catalogue = read_wal(repository)
    (batch,) = {
        repository.layout.wal_list(one.listed.sequence, one.listed.run)
        for one in catalogue.segments[1, (written.positions[1] >> 24) << 24]
        if not one.listed.tail
    }
    repository.store.delete(batch)
    key = written.archive.keys.dr[0]
    wanted = Wanted(read_target(f"lsn={show_lsn(written.positions[2])}"), written.first)
    with pytest.raises((Refused, NoValidBackup), match=r"can be reached|can be restored"):
        restore(repository, key, wanted, tmp_path / "data", MemoryJournal())
    latest = restore(repository, key, Wanted(read_target("latest"), written.first), tmp_path / "data", MemoryJournal())
    assert latest.position < written.positions[2]
    assert any("is missing; no point in time after" in line for line in latest.findings)


def test_a_timeline_that_a_restored_server_began_is_followed_and_the_old_one_stays(
    written: Written, tmp_path: Path
) -> None:
    repository, keys = copy_of(written.archive.repository), written.archive.source.keys
    key, latest = written.archive.keys.dr[0], read_target("latest")
    done = restored(written, tmp_path / "data", f"before=xid:{written.transactions[9]}")
    hba = tmp_path / "hba"
    hba.write_text("local all all trust\nlocal replication all trust\n")
    place = tmp_path / "run"
    with running(done.folder, place, {"hba_file": str(hba)}) as session:
        (tmp_path / "password").write_text("none is asked for\n")
        address = Address(str(place), 5432)
        sql = Sql(address, address, "postgres", f"file:{tmp_path / 'password'}")
        receiver = Receiver(sql, repository, keys, "successor", MemoryJournal(), 0.3)
        with written.archive.receiving(receiver):
            session.autocommit = True
            session.execute("INSERT INTO kept VALUES (20)")
            row = session.execute("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn").fetchone()
            assert row is not None
            end = int(row[0])

            def shipped() -> None:
                if max(read_wal(repository).segments[2, end - end % (16 << 20)][0].entry.end, 0) < end:
                    raise NotYet

            wait_until(shipped, patience=30, on=(NotYet, KeyError))
    new = restore(repository, key, Wanted(latest), tmp_path / "new", MemoryJournal())
    assert new.timeline == 2
    assert rows(new.folder, tmp_path / "a") == [1, 2, 3, 20]
    assert "take a new physical backup" in "; ".join(new.warnings)
    old = restore(repository, key, Wanted(latest, timeline=1), tmp_path / "old", MemoryJournal())
    assert rows(old.folder, tmp_path / "b") == [4]
    with pytest.raises(NoValidBackup, match="timeline 7: its history is not in the repository"):
        restore(repository, key, Wanted(latest, timeline=7), tmp_path / "no", MemoryJournal())


def test_an_altered_segment_is_never_replayed(written: Written, tmp_path: Path) -> None:
    repository = copy_of(written.archive.repository)
    files = [one.key for one in repository.store.list("shop/wal/") if "/wal/0" in one.key]
    for file in files:
        body = b"".join(repository.store.get(file))
        repository.store.put(file, (body[:-1] + bytes([body[-1] ^ 1]),))
    with pytest.raises(Unreadable, match="does not authenticate"):
        restore(repository, written.archive.keys.dr[0], Wanted(read_target("latest")), tmp_path / "d", MemoryJournal())
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_cannot_be_read_ends_what_is_reached(written: Written, tmp_path: Path) -> None:
    """Every restore was refused before, also one to a time before it."""
    repository, key = copy_of(written.archive.repository), written.archive.keys.dr[0]
    segment = read_wal(repository).segments[1, written.positions[2] - written.positions[2] % (16 << 20)]
    for one in segment:
        repository.store.put(repository.layout.wal(one.listed.run, one.entry.path), (b"not what was signed",))
    end, latest = show_lsn(segment[0].entry.start), Wanted(read_target("latest"), written.first)
    done = restore(repository, key, latest, tmp_path / "data", MemoryJournal())
    assert rows(done.folder, tmp_path / "a") == [1]
    assert any(f"no point in time after {end} is reached" in line for line in done.findings), done.findings
    for to in (f"lsn={show_lsn(written.positions[3])}", "name=noon"):
        with pytest.raises(Refused, match=f"no point in time after {end} is reached"):
            restore(repository, key, Wanted(read_target(to), written.first), tmp_path / "d", MemoryJournal())


def copy_of(repository: Repository) -> Repository:
    store = MemoryStore()
    for one in repository.store.list(""):
        store.put(one.key, (b"".join(repository.store.get(one.key)),))
    return replace(repository, store=store)
