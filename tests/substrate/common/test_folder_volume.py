"""A volume that is a folder takes over the files of another folder."""

import tempfile
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, UsageError
from harness.substrate.common.filesystem import plain
from harness.substrate.common.folder_volume import FolderVolume


def filled(folder: Path) -> Path:
    (folder / "data/base").mkdir(parents=True)
    (folder / "data/base/1").write_bytes(b"rows")
    (folder / "data/base/1").chmod(0o640)
    (folder / "data/link").symlink_to("base/1")
    return folder


def require_taken(root: Path) -> None:
    assert (root / "data/base/1").read_bytes() == b"rows"
    assert (root / "data/base/1").stat().st_mode & 0o777 == 0o640
    assert (root / "data/link").readlink() == Path("base/1")


def test_files_are_moved_and_not_copied(tmp_path: Path) -> None:
    source, root = filled(tmp_path / "source"), tmp_path / "root"
    root.mkdir()
    before = (source / "data/base/1").stat().st_ino
    FolderVolume(root).adopt(source)
    require_taken(root)
    assert (root / "data/base/1").stat().st_ino == before
    assert not list(source.iterdir())


def test_files_of_another_filesystem_are_copied(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        assert Path(memory).stat().st_dev != tmp_path.stat().st_dev
        root = tmp_path / "root"
        root.mkdir()
        FolderVolume(root).adopt(filled(Path(memory)))
        require_taken(root)


def test_a_folder_that_is_there_is_not_mixed_with_the_new_one(tmp_path: Path) -> None:
    source, root = filled(tmp_path / "source"), tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "data/old").write_bytes(b"old")
    with pytest.raises(HarnessError, match=r"volume root: .*cannot be moved"):
        FolderVolume(root).adopt(source)
    assert (source / "data/base/1").exists()


@pytest.mark.parametrize("mode", ["r+b", "w", "x"])
def test_a_file_is_opened_in_three_modes_alone(tmp_path: Path, mode: str) -> None:
    with pytest.raises(UsageError, match=f"mode '{mode.replace('+', '.')}' is not rb, wb or ab"):
        FolderVolume(tmp_path).open("file", mode)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "-a", "a b"])
def test_a_name_that_would_be_a_path_names_no_folder(name: str) -> None:
    with pytest.raises(UsageError, match="not a name for a volume; use letters, digits"):
        plain("volume", name)
