"""What a data folder has beside files and folders: a link to tables fails the backup, all else is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import BackupFailed
from harness.core.journal import MemoryJournal
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.restore import restore
from harness.physical.skipped import skipped
from harness.physical.target import read_target
from tests.physical.conftest import Archive, folder_of
from tests.physical.test_restore import running

OID = "SELECT oid FROM pg_database WHERE datname = 'moved'"


@pytest.fixture
def moved(archive: Archive, tmp_path: Path) -> Iterator[Path]:
    """Move the folder of a database out of the data folder, and put a link there."""
    archive.db.execute("postgres", "CREATE DATABASE moved", "CHECKPOINT")
    here, there = folder_of(archive.db) / "base" / str(archive.db.one("postgres", OID)), tmp_path / "elsewhere"
    here.rename(there)
    here.symlink_to(there)
    yield here
    here.unlink()
    there.rename(here)
    archive.db.execute("postgres", "DROP DATABASE moved")


def test_a_database_behind_a_link_fails_the_backup(archive: Archive, moved: Path) -> None:
    """The server passes it over with a warning, and the backup was committed without the database."""
    with pytest.raises(BackupFailed, match=rf"left base/{moved.name} out of the base backup, 1 in all.*is it a link"):
        take_physical(archive.source, MemoryJournal())
    assert archive.repository.committed() == ()


def test_what_holds_no_table_is_named(archive: Archive) -> None:
    folder, journal = folder_of(archive.db), MemoryJournal()
    (folder / "log files").symlink_to("/var/log")
    os.mkfifo(folder / "pipe")
    try:
        taken = take_physical(archive.source, journal)
    finally:
        (folder / "log files").unlink()
        (folder / "pipe").unlink()
    (entry,) = archive.repository.committed()
    gaps = archive.repository.open(entry, archive.keys.dr[0]).manifest.contents.gaps
    assert taken.backup_id == entry.backup_id
    assert sorted(gap.what for gap in gaps) == [
        "path log files of the data directory",
        "path pipe of the data directory",
    ]
    assert all(gap.excluded == "neither a file nor a folder" for gap in gaps)
    assert sum("warning" in event.facts for event in journal.events) == 2


def test_a_file_that_is_copied_with_a_warning_is_not_left_out(archive: Archive) -> None:
    """A file that ends within a page, after a full disk: the server does not verify its checksums, and says so."""
    archive.db.execute("postgres", "CREATE TABLE cut AS SELECT 1 AS i", "CHECKPOINT")
    table = folder_of(archive.db) / str(archive.db.one("postgres", "SELECT pg_relation_filepath('cut')"))
    try:
        with table.open("ab") as file:
            file.write(bytes(100))
        taken = take_physical(archive.source, MemoryJournal())
    finally:
        os.truncate(table, table.stat().st_size // 8192 * 8192)
        archive.db.execute("postgres", "DROP TABLE cut")
    (entry,) = archive.repository.committed()
    assert (taken.backup_id, entry.damaged) == (entry.backup_id, None)


def test_a_warning_in_any_language_names_its_path() -> None:
    with pytest.raises(BackupFailed, match="left base/5, /space/PG_18/5 out"):
        skipped(["überspringe besondere Datei »./base/5«", 'skipping special file "/space/PG_18/5"'], MemoryJournal())
    assert skipped(["something else"], MemoryJournal()) == ()


def test_tablespaces_in_place_stay_in_the_data_folder(archive: Archive, tmp_path: Path) -> None:
    """They were written beside it, and every restore of such a backup failed."""
    archive.db.execute("postgres", "SET allow_in_place_tablespaces = on", "CREATE TABLESPACE here LOCATION ''")
    archive.db.execute("postgres", "CREATE TABLE far TABLESPACE here AS SELECT generate_series(1, 1000) i")
    try:
        take_physical(archive.source, MemoryJournal())
    finally:
        archive.db.execute("postgres", "DROP TABLE far", "DROP TABLESPACE here")
    wanted = Wanted(read_target("latest"))
    done = restore(archive.repository, archive.keys.dr[0], wanted, tmp_path / "data", MemoryJournal())
    assert not (tmp_path / "data-tablespaces").exists()
    assert not any("tablespaces are in" in line for line in done.warnings)
    with running(done.folder, tmp_path / "run") as session:
        assert session.execute("SELECT count(*) FROM far").fetchone() == (1000,)


# A tmpfs of its own for each, the second one read-only; what is refused is printed.
MOUNTED = """
import subprocess, sys
from pathlib import Path
from harness.core.errors import UsageError
from harness.physical.unpack import require_empty

for name, options in (("disk", "rw"), ("sealed", "ro")):
    folder = Path(sys.argv[1], name)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
for name in ("disk", "disk/new", "sealed/new"):
    try:
        require_empty(Path(sys.argv[1], name))
        print(name)
    except UsageError as error:
        print(error)
"""


def test_a_mount_point_and_a_place_that_cannot_be_written_to_are_refused_before_anything_is_fetched(
    tmp_path: Path,
) -> None:
    """A restore into a mount point fetched all, and failed where its folder was to be replaced."""
    words = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", MOUNTED, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mounted, new, sealed = done.stdout.splitlines()
    assert mounted == f"--into {tmp_path}/disk: is a mount point, which cannot be replaced; name a new folder in it"
    assert new == "disk/new"
    assert sealed.startswith(f"--into {tmp_path}/sealed/new: {tmp_path}/sealed may not be written to")
