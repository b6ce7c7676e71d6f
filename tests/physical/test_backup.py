"""Physical backups of a real server: complete with their WAL, and never taken for logical ones."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.backup.build import described_backups
from harness.backup.verify import verify_all
from harness.core.clock import SYSTEM, Clock
from harness.core.errors import BackupFailed, NoValidBackup
from harness.core.journal import MemoryJournal
from harness.parts.programs import client_program
from harness.physical.backup import MANIFEST, take_physical
from harness.recovery.exposure import measure_exposure
from harness.repository.catalogue import OpenBackup, Receipt
from harness.repository.format.commit import Commit
from harness.repository.format.recipients import new_pair
from harness.repository.upkeep.reaper import reap
from harness.repository.upkeep.rewrap import Rewrap, rewrap, rewrap_wal
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import wal_findings
from tests.physical.conftest import Archive, folder_of
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import back_up


def opened(archive: Archive, receipt: Receipt) -> OpenBackup:
    (entry,) = (one for one in archive.repository.committed() if one.backup_id == receipt.backup_id)
    return archive.repository.open(entry, archive.keys.dr[0])


def unpack(backup: OpenBackup, folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(b"".join(backup.read("base/base.tar")))) as tar:
        tar.extractall(folder, filter="data")
    (folder / "backup_manifest").write_bytes(b"".join(backup.read(MANIFEST)))
    return folder


def test_a_backup_is_whole_and_has_its_wal(archive: Archive, tmp_path: Path) -> None:
    receipt = take_physical(archive.source, MemoryJournal())
    backup = opened(archive, receipt)
    facts = backup.manifest.contents.physical
    assert facts is not None
    assert facts.start < facts.stop
    assert facts.checksums
    assert facts.started_at < facts.stopped_at
    (entry,) = archive.repository.committed()
    assert entry.physical
    catalogue = read_wal(archive.repository)
    assert catalogue.lacking(facts.timeline, facts.start, facts.stop) == ""
    assert wal_findings(archive.repository, catalogue) == ()
    folder = unpack(backup, tmp_path)
    program = client_program("pg_verifybackup", 18)
    done = subprocess.run([program, "-n", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "backup_manifest").read_bytes())["System-Identifier"] == int(entry.system)
    assert archive.db.one("postgres", "SELECT count(*) FROM pg_replication_slots") == 0


def test_tablespaces_are_in_it(archive: Archive) -> None:
    place = folder_of(archive.db).parent / "space"
    place.mkdir(exist_ok=True)
    archive.db.execute(
        "postgres", f"CREATE TABLESPACE wide LOCATION '{place}'",
        "CREATE TABLE far TABLESPACE wide AS SELECT generate_series(1, 1000) i",
    )  # fmt: skip
    try:
        backup = opened(archive, take_physical(archive.source, MemoryJournal()))
        facts = backup.manifest.contents.physical
        assert facts is not None
        ((oid, location),) = facts.tablespaces
        assert location == str(place)
        with tarfile.open(fileobj=io.BytesIO(b"".join(backup.read(f"base/{oid}.tar")))) as tar:
            assert any(name.startswith("PG_18") for name in tar.getnames())
    finally:
        archive.db.execute("postgres", "DROP TABLE far", "DROP TABLESPACE wide")


def test_wal_comes_from_the_continuous_archive_where_one_runs(archive: Archive) -> None:
    receiver = archive.receiver(slot=archive.source.slot)
    with archive.receiving(receiver):
        while not archive.db.one("postgres", "SELECT count(*) FROM pg_replication_slots WHERE active"):
            SYSTEM.sleep(0.1)
        receipt = take_physical(archive.source, MemoryJournal())
        catalogue = read_wal(archive.repository)
    assert {one.purpose for one in catalogue.lists} == {"archive"}
    assert receipt.sequence == 1


def test_a_damaged_page_stops_the_backup_and_nothing_is_left(archive: Archive) -> None:
    archive.db.execute(
        "postgres", "DROP TABLE IF EXISTS hurt", "CREATE TABLE hurt AS SELECT generate_series(1, 5000) i", "CHECKPOINT"
    )
    path = folder_of(archive.db) / str(archive.db.one("postgres", "SELECT pg_relation_filepath('hurt')"))
    sound = path.read_bytes()
    path.write_bytes(sound[:9000] + b"\xff\xff" + sound[9002:])
    try:
        with pytest.raises(BackupFailed, match="checksum verification failure"):
            take_physical(archive.source, MemoryJournal())
    finally:
        path.write_bytes(sound)
        archive.db.execute("postgres", "DROP TABLE hurt")
    assert [one.key for one in archive.repository.store.list("") if "/wal" not in one.key] == []


def test_without_its_wal_nothing_is_committed(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.physical.receive.Receiver.receive", lambda *_: None)
    with pytest.raises(BackupFailed, match="is not in the repository: no WAL is in the repository"):
        take_physical(archive.source, MemoryJournal())
    assert list(archive.repository.store.list("")) == []


def test_what_a_killed_backup_left_is_removed_by_the_next_physical_one(archive: Archive) -> None:
    store = archive.repository.store
    assert isinstance(store, MemoryStore)
    store.clock = Clock(SYSTEM.monotonic, lambda: SYSTEM.wall() - timedelta(days=2), SYSTEM.sleep)
    killed = archive.keys.begin(replace(archive.repository, clock=store.clock))
    killed.add("base/base.tar", (b"begun",))
    store.clock = SYSTEM
    journal = MemoryJournal()
    take_physical(archive.source, journal)
    assert not [one.key for one in store.list("") if killed.backup_id in one.key]
    assert [event.subject for event in journal.events if event.kind == "removed"] == [killed.backup_id]


def test_backups_that_lost_their_commit_are_told(archive: Archive) -> None:
    gone = take_physical(archive.source, MemoryJournal()).backup_id
    archive.repository.store.delete(archive.repository.layout.commit(gone))
    told: list[str] = []
    take_physical(archive.source, MemoryJournal(), told.append)
    (alarm,) = told
    assert f"1 complete backups have no COMMIT any more ({gone})" in alarm


def test_a_logical_restore_never_chooses_it(archive: Archive) -> None:
    take_physical(archive.source, MemoryJournal())
    key = archive.keys.dr[0]
    with pytest.raises(NoValidBackup, match="1 physical ones are there"):
        archive.repository.latest_valid(key)
    logical = back_up(archive.repository, archive.keys)
    physical = take_physical(archive.source, MemoryJournal())
    chosen = archive.repository.latest_valid(key)
    assert chosen.backup.backup_id == logical.backup_id
    assert chosen.passed_over == ()
    assert [one.backup_id for one in archive.repository.logical()] == [logical.backup_id]
    rows, findings = described_backups(archive.repository, key)
    assert [row["mode"] for row in rows] == ["physical", "logical", "physical"]
    assert "all databases of system" in str(rows[0]["inside"])
    assert all("of database system" in line for line in findings)  # the logical one is of another system here
    assert physical.sequence == 3


def test_physical_backups_do_not_count_for_the_exposure_of_logical_ones(archive: Archive) -> None:
    take_physical(archive.source, MemoryJournal())
    found = measure_exposure(archive.repository, archive.keys.dr[0], SYSTEM.wall())
    assert (found.opened, found.unopened) == ((), ())


def test_a_reader_from_before_refuses_it(archive: Archive) -> None:
    """A COMMIT is read strictly: a reader refuses each field that it does not know, as one from before does `base`."""
    physical, logical = take_physical(archive.source, MemoryJournal()), back_up(archive.repository, archive.keys)
    payloads = []
    for receipt in (physical, logical):
        text = b"".join(archive.repository.store.get(receipt.path))
        payloads.append(json.loads(base64.b64decode(json.loads(text)["payload"])))
    assert "base" in payloads[0]
    assert "base" not in payloads[1]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Commit.model_validate_json(json.dumps({**payloads[1], "unknown": payloads[0]["base"]}))


def test_it_is_verified_reaped_and_rewrapped_as_every_backup(archive: Archive) -> None:
    receipt = take_physical(archive.source, MemoryJournal())
    key = archive.keys.dr[0]
    lines = list(verify_all(archive.repository, key, every=True))
    assert not [line for line in lines if line.wrong]
    assert [line.backup for line in lines] == [receipt.backup_id, "WAL"]
    assert reap(archive.repository, 0.0).removed == ()
    (entry,) = archive.repository.committed()
    new = new_pair()
    change = Rewrap(add=(new[1],))
    rewrap(archive.repository, entry, key, change)
    for run in {one.run: one for one in read_wal(archive.repository).lists}.values():
        assert len(rewrap_wal(archive.repository, run, key, change).left) == 3
    assert not [line for line in verify_all(archive.repository, new[0], every=True) if line.wrong]


def test_verify_says_which_wal_a_backup_lacks(archive: Archive) -> None:
    receipt = take_physical(archive.source, MemoryJournal())
    store = archive.repository.store
    (batch,) = [one.key for one in store.list(archive.repository.layout.of("wal-batch"))]
    text = b"".join(store.get(batch))
    data = [one.key for one in store.list(archive.repository.layout.of("wal")) if "/wal/0" in one.key]
    body = b"".join(store.get(data[0]))
    store.put(data[0], (body[:-1],))
    wrong = [line.said for line in verify_all(archive.repository, archive.keys.dr[0], every=False) if line.wrong]
    assert wrong == [f"{data[0][-24:]}: {len(body) - 1} bytes are stored instead of {len(body)}"]
    store.put(data[0], (body[:-1] + bytes([body[-1] ^ 1]),))
    wrong = [line.said for line in verify_all(archive.repository, archive.keys.dr[0], every=True) if line.wrong]
    assert len(wrong) == 1
    assert "does not authenticate" in wrong[0]
    store.delete(batch)
    wrong = [line.said for line in verify_all(archive.repository, archive.keys.dr[0], every=False) if line.wrong]
    assert f"backup {receipt.backup_id} cannot be restored" in "\n".join(wrong)
    store.put(batch, (text,))
