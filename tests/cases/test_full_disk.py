"""Case 13 on file systems that are full: the spool, the data folders of DR and of the primary."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from harness.core.errors import BackupFailed, NoValidBackup, RestoreFailed
from tests.cases.estate import CaseEstate, CaseServers, case_estate

pytestmark = pytest.mark.cases
MIB = 1 << 20
# Some 22 MB that compression does not make much smaller.
LARGE = """
CREATE TABLE t AS SELECT n, string_agg(md5(n::text || m::text), '') AS v
FROM generate_series(1, 700) n, generate_series(1, 1000) m GROUP BY n
"""
OnDisk = Callable[[str, int], AbstractContextManager[CaseEstate]]


@contextmanager
def file_system(folder: Path, mebibytes: int) -> Iterator[Callable[[], None]]:
    """Mount a small file system on a folder; yield what takes it away. Skips where nothing may be mounted."""
    mount, umount = (shutil.which(name) or name for name in ("mount", "umount"))
    folder.mkdir(parents=True)
    words = [mount, "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "none", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"only root may mount a small file system: {done.stderr.strip()}")

    def take_away() -> None:
        subprocess.run([umount, "--lazy", str(folder)], capture_output=True, check=False)

    try:
        yield take_away
    finally:
        take_away()


@pytest.fixture
def on_disk(case_home: CaseServers, tmp_path: Path) -> OnDisk:
    """An estate with a folder of its sites on a file system of that many MiB."""

    @contextmanager
    def made(folder: str, mebibytes: int) -> Iterator[CaseEstate]:
        with (
            file_system(tmp_path / "run/sites" / folder, mebibytes) as take_away,
            case_estate(case_home, tmp_path) as estate,
        ):
            try:
                yield estate
            finally:
                take_away()  # a site is removed with its folders, and a mounted one cannot be

    return made


def fill(folder: Path) -> None:
    """Write until the file system of a folder is full."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(MIB // 64))
    assert shutil.disk_usage(folder).free < MIB // 64


def test_a_restore_onto_a_full_spool_says_how_much_it_needs(on_disk: OnDisk) -> None:
    with on_disk("dr/volumes/spool", 8) as estate:
        estate.create("shop", LARGE)
        estate.back_up()
        assert "volume spool of dr: No space left on device; the dumps of this backup need 2" in failed_restore(estate)


@pytest.mark.night
def test_a_restore_onto_a_full_disk_says_why_the_server_ended(on_disk: OnDisk) -> None:
    """Without room for WAL the server ends itself, and pg_restore knows no reason; before that a table has no room."""
    with on_disk("dr/volumes/postgres", 80) as estate:
        estate.create("shop", LARGE)
        estate.back_up()
        reason = failed_restore(estate)
        assert reason.startswith("database shop at ")
        assert any(said in reason for said in ("No space left on device", "the disk of the database server is full"))


def failed_restore(estate: CaseEstate) -> str:
    """Restore, which fails; return the reason. It is one line, logged, and no dump is left."""
    with pytest.raises(RestoreFailed) as failed:
        estate.restore()
    reason = str(failed.value)
    assert len(reason.splitlines()) == 1
    assert [told["error"] for told in estate.facts("2.5.1")] == [reason]
    assert len(estate.facts("2.5.2")) == 1
    assert list(estate.dr.site.volume("spool").walk()) == []
    return reason


def test_a_primary_on_a_full_disk_fails_the_backup_and_alerts(on_disk: OnDisk, tmp_path: Path) -> None:
    """An exported snapshot is a small file there."""
    folder = "primary/volumes/postgres"
    with on_disk(folder, 200) as estate:
        estate.create("shop", LARGE)
        for database in ("shop", "postgres", "template1"):  # a first session writes a file
            estate.value(database, "SELECT 1", site="primary")
        fill(tmp_path / "run/sites" / folder)
        with pytest.raises(BackupFailed, match=r"^database shop: no snapshot: .*No space left on device$") as failed:
            estate.back_up()
        assert [told["error"] for told in estate.facts("1.7.1")] == [str(failed.value)]
        assert [told["sent"] for told in estate.facts("1.7.2")] == [True]
        with pytest.raises(NoValidBackup, match="none is committed"):
            estate.newest  # noqa: B018
