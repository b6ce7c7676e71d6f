"""A server whose segments of WAL are larger than 16 MB is backed up, followed and restored like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.core.journal import MemoryJournal
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.private_server import control_of, sizes_of
from harness.physical.programs import programs_of
from harness.physical.restore import restore
from harness.physical.target import read_target
from harness.postgres import server as postgres
from harness.recovery.take_over import room_for
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive
from tests.physical.test_restore import running
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import DatabaseServer, secret_files

LARGE = "--wal-segsize=64"


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
