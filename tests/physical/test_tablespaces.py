"""A backup with tablespaces is restored with them, beside the new data folder and never over the old ones."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from harness.core.clock import wait_until
from harness.core.errors import UsageError
from harness.core.journal import MemoryJournal
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.private_server import Running, running_server
from harness.physical.programs import programs_of
from harness.physical.restore import restore
from harness.physical.target import read_target
from tests.physical.conftest import Archive, folder_of


def test_tablespaces_are_restored_beside_the_data_folder(archive: Archive, tmp_path: Path) -> None:
    old = folder_of(archive.db).parent / "wide space"
    old.mkdir()
    archive.db.execute(
        "postgres", f"CREATE TABLESPACE apart LOCATION '{old}'",
        "CREATE TABLE far TABLESPACE apart AS SELECT generate_series(1, 1000) i",
    )  # fmt: skip
    try:
        take_physical(archive.source, MemoryJournal())
    finally:
        archive.db.execute("postgres", "DROP TABLE far", "DROP TABLESPACE apart")
    wanted, key = Wanted(read_target("latest")), archive.keys.dr[0]
    done = restore(archive.repository, key, wanted, tmp_path / "data", MemoryJournal())
    spaces = tmp_path / "data-tablespaces"
    assert any(str(spaces) in line for line in done.warnings)
    (link,) = (done.folder / "pg_tblspc").iterdir()
    assert link.resolve() == (spaces / link.name).resolve()
    assert list(old.iterdir()) == []
    place = tmp_path / "run"
    place.mkdir(mode=0o700)
    with running_server(programs_of(18), done.folder, place, {}) as process:
        wait_until(Running(process, place, "postgres").promoted, patience=30)
        with psycopg.connect(host=str(place), user="postgres", dbname="postgres") as session:
            assert session.execute("SELECT count(*) FROM far").fetchone() == (1000,)
    with pytest.raises(UsageError, match="is not empty"):
        restore(archive.repository, key, wanted, spaces, MemoryJournal())
    (tmp_path / "new-tablespaces").mkdir()
    (tmp_path / "new-tablespaces" / "kept").touch()
    with pytest.raises(UsageError, match="new-tablespaces: is not empty"):
        restore(archive.repository, key, wanted, tmp_path / "new", MemoryJournal())
    assert (tmp_path / "new-tablespaces" / "kept").exists()
    assert not (tmp_path / "new").exists()
