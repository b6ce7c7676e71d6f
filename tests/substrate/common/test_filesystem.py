"""Files and folders are on the disk before a restore is called done, and those of runs lie apart."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.substrate.common.filesystem import keep_apart, write_to_disk

LSATTR = shutil.which("lsattr") or ""


def test_every_file_and_folder_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base/1").mkdir(parents=True)
    for name in ("base/1/2", "base/1/3", "PG_VERSION"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link").symlink_to("nowhere")
    flushed: set[str] = set()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_to_disk(tmp_path)
    names = ("", "PG_VERSION", "base", "base/1", "base/1/2", "base/1/3")
    assert flushed == {str(tmp_path / name) for name in names}


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x")

    def fsync(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        write_to_disk(tmp_path)


@pytest.mark.skipif(not LSATTR, reason="no lsattr to see the flag")
def test_folders_are_kept_apart_where_the_file_system_can(tmp_path: Path) -> None:
    assert keep_apart(tmp_path) == keep_apart(tmp_path) == tmp_path
    shown = subprocess.run([LSATTR, "-d", str(tmp_path)], capture_output=True, text=True, check=False)
    if shown.returncode:
        pytest.skip(f"no flags of folders here: {shown.stderr.strip()}")
    assert "T" in shown.stdout.split()[0]


@pytest.mark.parametrize("path", ["/proc/self", "/sys", "/dev/null", "/nowhere"])
def test_a_file_system_that_cannot_is_left_as_it_is(path: str) -> None:
    assert keep_apart(Path(path)) == Path(path)
