"""A server whose segments of WAL are larger than 16 MB is backed up, followed and restored like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from harness.core.errors import BackupFailed, HarnessError
from harness.core.journal import MemoryJournal
from harness.core.wal import Switch
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.continuity import resized
from harness.physical.private_server import control_of, sizes_of
from harness.physical.programs import programs_of
from harness.physical.push import push
from harness.physical.restore import restore
from harness.physical.target import read_target
from harness.postgres import server as postgres
from harness.recovery.take_over import room_for
from harness.repository.upkeep.wal import remove_wal
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.writer import WalWriter, begin_wal
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive, folder_of, lsn
from tests.physical.test_put_back import alone, numbers, receiving, shipped, write
from tests.physical.test_restore import running
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import DatabaseServer, secret_files

__all__ = ["alone"]
LARGE = "--wal-segsize=64"


@pytest.mark.night
def test_segments_of_64_mb(substrate: Embedded, tmp_path: Path, recipients: Recipients, server: DatabaseServer) -> None:
    """The server of the replay refused them, so that no such backup could be restored."""
    site = substrate.site("large")
    secrets = secret_files(tmp_path, {postgres.SUPERUSER_PASSWORD: "of the large one"})
    spec = postgres.server_spec(site, secrets=secrets)
    node = site.launch(replace(spec, first_run=((*spec.first_run[0], LARGE),)))
    db = DatabaseServer(site, node, postgres.sql_of(node, secrets[postgres.SUPERUSER_PASSWORD]))
    archive = Archive(db, recipients.repository(MemoryStore()), recipients)
    take_physical(archive.source, MemoryJournal())
    with archive.receiving(archive.receiver(slot=archive.source.slot)):
        db.execute("postgres", "CREATE TABLE kept AS SELECT 1 AS i", "SELECT pg_switch_wal()")
        take_physical(archive.source, MemoryJournal())
    (*_, first) = (one.backup_id for one in archive.repository.committed())
    wanted = Wanted(read_target("latest"), first)
    done = restore(archive.repository, archive.keys.dr[0], wanted, tmp_path / "data", MemoryJournal())
    sizes = sizes_of(control_of(programs_of(18), done.folder))
    assert sizes == {"min_wal_size": "128MB", "max_wal_size": "1024MB"}
    # DR's server was made with small segments, keeps its own settings, and did not start on such a data folder.
    lines = room_for(programs_of(18), done.folder, server.sql)
    assert lines == "min_wal_size = 128MB\n"
    assert room_for(programs_of(18), done.folder, db.sql) == ""
    with running(done.folder, tmp_path / "run") as session:
        assert session.execute("SELECT i FROM kept").fetchall() == [(1,)]


def resize(archive: Archive, size: int) -> None:
    archive.db.execute("postgres", "ALTER SYSTEM SET min_wal_size = '256MB'")
    programs_of(18).run("pg_ctl", "stop", "--mode=fast", "-D", str(folder_of(archive.db)))
    archive.db.node.kill()
    programs_of(18).run("pg_resetwal", f"--wal-segsize={size}", "-D", str(folder_of(archive.db)))
    archive.db.node.start()


@pytest.mark.night
def test_a_server_whose_segments_were_resized(alone: Archive, recipients: Recipients, tmp_path: Path) -> None:
    """A backup failed as if WAL were late, and the receiver shipped what kept older backups from being restored."""
    resize(alone, 32)
    said = r"its WAL segments are of 32 MB, and those in the repository of 16 MB \(pg_resetwal --wal-segsize\)"
    before = read_wal(alone.repository).digests
    with pytest.raises(HarnessError, match=said) as refused:
        take_physical(alone.source, MemoryJournal())
    assert "declare another bucket or directory" in str(refused.value)
    assert "pg_resetwal --wal-segsize=16, and take a physical backup" in str(refused.value)
    with pytest.raises(HarnessError, match=said):
        alone.receiver(slot=alone.source.slot, until=lsn(alone.db)).run(Event())
    segment = folder_of(alone.db) / "pg_wal" / str(alone.db.one("postgres", "SELECT pg_walfile_name(pg_switch_wal())"))
    with pytest.raises(BackupFailed, match=said):
        push(segment, alone.repository, alone.source.keys)
    assert read_wal(alone.repository).digests == before
    other = replace(alone, repository=recipients.repository(MemoryStore()))
    kept(other, 2)
    assert numbers(other, tmp_path) == [1, 2]
    resize(alone, 16)
    kept(alone, 3)
    assert numbers(alone, tmp_path, 1) == [1, 2, 3]


@pytest.mark.night
def test_a_timeline_history_alone_has_no_segment_size(recipients: Recipients) -> None:
    """It never expires: once all WAL of the old size had, it refused every backup of the resized server."""
    repository = recipients.repository(MemoryStore())

    def writer(size: int) -> WalWriter:
        return begin_wal(repository, "7391", size, recipients.public, recipients.writer[0], read_wal(repository).head)

    old = writer(16 << 20)
    old.commit([old.put(1, 0, bytes(16 << 20))], None)
    switches = [Switch(1, 16 << 20)]
    old.commit([old.put_history("00000002.history", 2, b"1\t0/1000000\tno recovery target\n", switches)], None)
    both = read_wal(repository)
    assert "of 32 MB, and those in the repository of 16 MB" in resized(both, 32 << 20)
    list(remove_wal(repository, [one for one in both.lists if not one.entries[0].is_history]))
    alone = read_wal(repository)
    assert [*alone.histories] == [2]
    assert (resized(alone, 32 << 20), alone.segment_size) == ("", 0)
    new = writer(32 << 20)
    new.commit([new.put(2, 32 << 20, bytes(32 << 20))], None)
    assert (resized(read_wal(repository), 32 << 20), read_wal(repository).segment_size) == ("", 32 << 20)


def kept(archive: Archive, number: int) -> None:
    """Take a backup, and ship a row that is written after it."""
    with receiving(archive):
        take_physical(archive.source, MemoryJournal())
        write(archive, number)
        shipped(archive)
