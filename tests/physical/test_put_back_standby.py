"""A standby that was just restarted is behind what was shipped of it, and is not taken for one that was put back."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Event

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from tests.physical.conftest import Archive, folder_of
from tests.physical.test_put_back import alone, numbers, receiving, shipped, write
from tests.physical.test_rewind import stop

__all__ = ["alone"]


def replayed(archive: Archive) -> None:
    if archive.db.one("postgres", "SELECT count(*) FROM kept") != 3:
        raise NotYet("not all is replayed")


def test_a_standby_that_has_not_replayed_what_was_shipped_is_waited_for(alone: Archive, tmp_path: Path) -> None:
    """It has the WAL in its pg_wal; its position is that of its replay until it receives again."""
    folder = folder_of(alone.db)
    earlier = folder.with_name("earlier")
    stop(alone.db)
    shutil.copytree(folder, earlier, symlinks=True)
    alone.db.node.start()
    with receiving(alone):
        write(alone, 2, 3)
        shipped(alone)
    alone.db.node.kill()
    shutil.rmtree(earlier / "pg_wal")
    (folder / "pg_wal").rename(earlier / "pg_wal")
    shutil.rmtree(folder)
    earlier.rename(folder)
    (folder / "standby.signal").touch()
    with (folder / "postgresql.auto.conf").open("a") as file:
        file.write("recovery_min_apply_delay = '1h'\n")
    alone.db.node.start()
    with pytest.raises(HarnessError, match=r"is in recovery, at 0/.* of timeline 1, and the repository") as refused:
        alone.receiver(alone.source.slot).run(Event())
    assert "put back" not in str(refused.value)
    alone.db.execute("postgres", "ALTER SYSTEM SET recovery_min_apply_delay = 0", "SELECT pg_reload_conf()")
    wait_until(lambda: replayed(alone), patience=30)
    stopped = Event()
    stopped.set()
    alone.receiver(alone.source.slot).run(stopped)
    assert numbers(alone, tmp_path) == [1, 2, 3]
