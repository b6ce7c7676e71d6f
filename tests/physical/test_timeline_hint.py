"""A target that lies on an older timeline alone is refused with the option that reaches it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import Refused
from harness.core.journal import MemoryJournal
from harness.core.wal import segment_start, show_lsn
from harness.physical.choice import Wanted
from harness.physical.continuity import end_of
from harness.physical.restore import restore
from harness.physical.target import read_target
from harness.repository.wal.catalogue import read_wal
from tests.physical.conftest import Archive
from tests.physical.test_put_back import SIZE, alone, promote, put_back, receiving, shipped, write
from tests.physical.test_restore import running

__all__ = ["alone"]


@pytest.mark.night
def test_the_refusal_names_the_timeline_on_which_the_target_lies(alone: Archive, tmp_path: Path) -> None:
    put_back(alone, 2, 3, 4)
    promote(alone)
    with receiving(alone):
        write(alone, 20)
        shipped(alone)
    last = segment_start(end_of(read_wal(alone.repository), 1), SIZE)
    target, key = read_target(f"lsn={show_lsn(last + 40)}"), alone.keys.dr[0]
    with pytest.raises(Refused, match="; timeline 1 reaches it: give --timeline 1") as refused:
        restore(alone.repository, key, Wanted(target), tmp_path / "refused", MemoryJournal())
    assert str(refused.value).endswith("--timeline 1")
    done = restore(alone.repository, key, Wanted(target, timeline=1), tmp_path / "data", MemoryJournal())
    with running(done.folder, tmp_path / "run") as session:
        assert session.execute("SELECT i FROM kept ORDER BY i").fetchall() == [(1,), (2,), (3,)]
    unknown = Wanted(read_target("name=nobody"))
    with pytest.raises(Refused, match=r"; if it is of timeline 1, give --timeline 1$"):
        restore(alone.repository, key, unknown, tmp_path / "unknown", MemoryJournal())
    for nowhere in ("lsn=FF/0", "time=2099-01-01T00:00:00Z"):
        with pytest.raises(Refused) as refused:
            restore(alone.repository, key, Wanted(read_target(nowhere)), tmp_path / "nowhere", MemoryJournal())
        assert "--timeline" not in str(refused.value)
