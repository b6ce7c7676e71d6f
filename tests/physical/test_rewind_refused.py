"""An old primary whose WAL, label, history or folder does not fit is refused, and what was changed is named."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backup.verify import Where
from harness.cli.standby import _source
from harness.core.errors import Refused, RestoreFailed, Unreadable
from harness.core.journal import MemoryJournal
from harness.estate.config import load_config
from harness.physical.programs import programs_of
from harness.physical.standby import aside
from harness.physical.standby.diverged import _commits
from harness.physical.standby.old_primary import plan_rewind
from harness.physical.standby.rewind import rewind
from tests.physical.test_rewind import Parted, only_in_repository, parted, passfile, stop
from tests.physical.test_rewind_files import KEPT, follows, killed, rewound, unreachable

__all__ = ["parted", "passfile"]
ROOT = Path(__file__).parents[2]


def test_what_is_mounted_into_the_folder_is_refused(
    parted: Parted, passfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = parted.use(parted.stopped)
    (folder / "conf.d").mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 0:31 / {folder}/base rw - tmpfs x rw\n36 35 0:32 / {folder}/conf.d rw - tmpfs x rw\n")
    with monkeypatch.context() as mounted:
        mounted.setattr(aside, "MOUNTS", mounts)
        with pytest.raises(Refused, match=f"^{folder}/conf.d: pg_rewind would remove what is mounted into the data"):
            parted.plan()
    rewound(parted, passfile)
    follows(parted)


def test_wal_of_its_own_that_cannot_be_read_up_to_its_checkpoint_is_refused(parted: Parted) -> None:
    """What it has beyond the hole would not be named among what is discarded."""
    folder = parted.use(parted.stopped)
    plan = parted.plan()
    assert plan.own is not None
    segment = folder / "pg_wal" / plan.old.control["Latest checkpoint's REDO WAL file"]
    begin = plan.old.checkpoint % plan.shelf.size & ~0x1FFF
    with segment.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(plan.shelf.size - begin))
    with pytest.raises(RestoreFailed, match=r"its WAL can be read up to 0/\w+ only, it was at 0/\w+; restore a base"):
        parted.plan()


def test_a_timeline_whose_history_is_nowhere_is_refused(parted: Parted) -> None:
    folder = parted.use(parted.stopped)
    (folder / "standby.signal").touch()
    parted.old.db.node.start()
    parted.old.db.execute("postgres", "SELECT pg_promote()")
    stop(parted.old.db)
    (folder / "pg_wal/00000002.history").unlink()
    with pytest.raises(Unreadable, match=f"{folder}: 00000002.history is neither in its pg_wal nor in the repository"):
        parted.plan()


def test_a_base_backup_beside_the_settings_of_another_rewind_is_refused(
    parted: Parted, passfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings that a killed rewind kept are of the folder that was there before."""
    folder = parted.use(parted.stopped)
    killed(monkeypatch, "harness.physical.standby.rewind.follow", lambda: rewound(parted, passfile))
    folder.rename(folder.with_name("killed"))
    shutil.copytree(folder.with_name("killed"), folder, symlinks=True)
    shutil.rmtree(folder.with_name("killed"))
    folder.chmod(0o700)  # as a base backup is: the copy has the mode by which a rewind bars the folder
    (folder / "standby.signal").unlink()
    with pytest.raises(Refused, match=f"^{folder}-settings: is of another rewind, to timeline 2; move what"):
        parted.plan()
    shutil.rmtree(folder.parent / KEPT)
    rewound(parted, passfile)
    follows(parted)


def test_a_second_rewind_that_changes_nothing_leaves_the_settings_of_the_first_aside(
    parted: Parted, passfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first may have changed the folder: with its settings back, a server might be started on it."""
    folder = parted.use(parted.stopped)
    only_in_repository(folder)
    killed(monkeypatch, "harness.physical.standby.rewind._run", lambda: rewound(parted, passfile))
    plan = parted.plan()
    plan = replace(plan, shelf=replace(plan.shelf, source=unreachable, _opened=None))
    with pytest.raises(RestoreFailed, match=f"nothing was rewound; its settings are in {folder}-settings$"):
        rewound(parted, passfile, plan)
    assert not (folder / "postgresql.conf").exists()
    rewound(parted, passfile)
    follows(parted)


def test_a_label_without_a_position_is_refused(parted: Parted, passfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = parted.use(parted.stopped)
    killed(monkeypatch, "harness.physical.standby.rewind.follow", lambda: rewound(parted, passfile))
    label = folder / "backup_label"
    text = label.read_text()
    label.write_text("")
    with pytest.raises(RestoreFailed, match=f"^{label}: names no position; restore a base backup"):
        rewind(parted.plan(), None, passfile, MemoryJournal())
    label.write_text(text)
    rewound(parted, passfile)
    follows(parted)


def test_wal_of_another_size_of_segments_is_not_used(parted: Parted) -> None:
    parted.use(parted.stopped)
    shelf = replace(parted.plan().shelf, size=1 << 20, _opened=None)
    assert shelf.read("000000010000000000000010") is None
    assert shelf.failed == ["WAL in the repository has segments of 16777216 bytes, not 1048576"]


def test_transactions_that_cannot_be_read_are_not_counted_as_none(parted: Parted, tmp_path: Path) -> None:
    with pytest.raises(RestoreFailed, match=r"^pg_waldump: .*could not"):
        _commits(programs_of(18), f"--path={tmp_path}", "--timeline=1", "--start=0/1000028")


def test_a_repository_without_dr_s_private_key_gives_no_wal(
    parted: Parted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backup.verify.reader_of", lambda *_: (parted.old.repository, None))
    folder = parted.use(parted.stopped)
    only_in_repository(folder)
    source = _source(load_config(ROOT / "estate.toml"), Where(tmp_path, tmp_path, tmp_path))
    with pytest.raises(RestoreFailed, match=r"DR's private key \(recipient.pem\) is not among the declared secrets"):
        plan_rewind(folder, parted.promoted.sql, source)
