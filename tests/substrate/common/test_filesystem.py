"""Files and folders are on the disk before a restore is called done."""

import os
from pathlib import Path

import pytest

from harness.substrate.common.filesystem import write_to_disk


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
