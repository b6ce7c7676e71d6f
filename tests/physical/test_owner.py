"""Who owns what root restores: whoever owned the empty folder, so that his server starts on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.core.errors import RestoreFailed, UsageError
from harness.core.journal import MemoryJournal
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.restore import ROOTS, PointInTime, restore
from harness.physical.standby.old_primary import read_old
from harness.physical.target import read_target
from harness.physical.unpack import made
from tests.physical.conftest import Archive, folder_of

USER, GROUP, MODE = 12345, 23456, 0o750

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


def restored(archive: Archive, folder: Path) -> PointInTime:
    wanted, key = Wanted(read_target("latest")), archive.keys.dr[0]
    return restore(archive.repository, key, wanted, folder, MemoryJournal())


def another_s(folder: Path) -> Path:
    folder.mkdir(mode=MODE)
    os.chown(folder, USER, GROUP)
    folder.chmod(MODE)
    return folder


def owners(*folders: Path) -> set[tuple[int, int]]:
    found = (path.lstat() for folder in folders for path in (folder, *folder.rglob("*")))
    return {(one.st_uid, one.st_gid) for one in found}


@pytest.fixture
def spaced(archive: Archive) -> Archive:
    """The archive with a backup that has a tablespace."""
    old = folder_of(archive.db).parent / "owned space"
    old.mkdir()
    archive.db.execute(
        "postgres", f"CREATE TABLESPACE owned LOCATION '{old}'", "CREATE TABLE far (i int) TABLESPACE owned"
    )
    try:
        take_physical(archive.source, MemoryJournal())
    finally:
        archive.db.execute("postgres", "DROP TABLE far", "DROP TABLESPACE owned")
    return archive


def test_an_empty_folder_of_another_user_stays_his_with_all_that_is_restored(spaced: Archive, tmp_path: Path) -> None:
    done = restored(spaced, another_s(tmp_path / "his"))
    spaces = tmp_path / "his-tablespaces"
    assert owners(done.folder, spaces) == {(USER, GROUP)}
    assert done.folder.stat().st_mode & 0o777 == 0o700
    assert not any(ROOTS in line for line in done.warnings)
    new = restored(spaced, tmp_path / "new")
    assert owners(new.folder) == {(0, 0)}
    assert [line for line in new.warnings if ROOTS in line] == [
        f"{ROOTS} `chown -R postgres {new.folder} {new.folder}-tablespaces`"
    ]


def test_after_an_error_the_folder_is_his_as_it_was(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_physical(archive.source, MemoryJournal())
    folder = another_s(tmp_path / "his")

    def fails(*_of: object) -> None:
        raise RestoreFailed("by the test")

    monkeypatch.setattr("harness.physical.restore.replay_way", fails)
    with pytest.raises(RestoreFailed, match="by the test"):
        restored(archive, folder)
    assert owners(folder) == {(USER, GROUP)}
    assert (folder.stat().st_mode & 0o777, list(folder.iterdir())) == (MODE, [])


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """Whoever owns the folder above puts it there after the preflight."""
    other, link = another_s(tmp_path / "other"), tmp_path / "into"
    link.symlink_to(other)
    with pytest.raises(UsageError, match="is a link, or no folder"), made(link):
        pass
    assert (owners(other), other.stat().st_mode & 0o777) == ({(USER, GROUP)}, MODE)


def test_after_an_error_a_user_has_the_mode_of_his_folder_back(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    folder = another_s(tmp_path / "his")
    child = os.fork()
    if not child:
        try:
            os.setgid(GROUP)
            os.setuid(USER)
            with made(folder):
                raise RestoreFailed("by the test")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert (folder.stat().st_mode & 0o777, list(folder.iterdir())) == (MODE, [])


def in_the_place_of(folder: Path, link: bool) -> None:
    """Do what the owner of the folder above can: something else is under that name then."""
    folder.rename(folder.with_name("aside"))
    other = folder.with_name("another")
    other.mkdir(mode=0o700)
    (other / "secret").touch()
    if link:
        folder.symlink_to(other)
    else:
        other.rename(folder)


@pytest.mark.parametrize("link", [True, False])
def test_what_took_the_place_of_the_folder_meanwhile_is_given_to_nobody(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    take_physical(archive.source, MemoryJournal())
    folder = another_s(tmp_path / "his")
    monkeypatch.setattr("harness.physical.restore.put_back", lambda *_of: in_the_place_of(folder, link))
    with pytest.raises(RestoreFailed, match=rf"^{folder}: something else took its place meanwhile, and is given"):
        restored(archive, folder)
    if link:
        assert owners(tmp_path / "another") == {(0, 0)}
    assert (0, 0) in owners(tmp_path / "aside")


def test_a_root_that_may_not_change_owners_is_told_before_anything_is_restored(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_physical(archive.source, MemoryJournal())
    folder = another_s(tmp_path / "his")

    def refused(*_of: object, **_more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("harness.physical.owner.os.fchown", refused)
    with pytest.raises(UsageError, match=rf"^--into {folder}: belongs to another user, and cannot be taken over"):
        restored(archive, folder)
    assert (owners(folder), list(folder.iterdir())) == ({(USER, GROUP)}, [])


def test_the_data_folder_of_another_user_is_not_rewound_by_root(archive: Archive) -> None:
    folder = folder_of(archive.db)
    os.chown(folder, USER, GROUP)
    try:
        with pytest.raises(UsageError, match=rf"^{folder}: belongs to user {USER}, not to root; run this as that user"):
            read_old(folder)
    finally:
        os.chown(folder, 0, 0)
