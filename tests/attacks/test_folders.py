"""M3: a folder that cannot be written, a full disk, a broken file: one line before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.own_drills import ROOT, drill, own

pytestmark = pytest.mark.attacks
COMMAND = "from harness.cli import main; main()"
# Run in user and mount namespaces of their own, in the folder of the drills;
READ_ONLY = 'mkdir -p there && mount -t tmpfs -o size=2m none there && mount -o remount,ro there && exec "$@"'
FULL = 'mkdir -p there && mount -t tmpfs -o size=4k none there && { head -c 4096 /dev/zero > there/all; exec "$@"; }'
SMALL = 'mkdir -p there && mount -t tmpfs -o size=1m none there && exec "$@"'
NO_INODE = 'mkdir -p there && mount -t tmpfs -o size=90m,nr_inodes=2 none there && exec "$@"'
USAGE, UNKNOWN = 2, 3


@pytest.mark.night
@pytest.mark.parametrize(
    ("mount", "words", "variable", "code", "said"),
    [
        (READ_ONLY, ("--reports=there/reports",), "", USAGE, "reports cannot be written (Read-only file system)"),
        (NO_INODE, ("--reports=there/reports",), "", USAGE, "reports cannot be written (No space left on device)"),
        (FULL, ("--reports=there/reports",), "", UNKNOWN, "0 MB of disk space are free"),
        (SMALL, ("--reports=there/reports",), "", UNKNOWN, "1 MB of disk space are free"),
        (READ_ONLY, (), "BLACKSTART_RUNS", USAGE, "(Read-only file system); name another folder with BLACKSTART_RUNS"),
        (READ_ONLY, (), "BLACKSTART_CACHE", USAGE, "system); name another folder with BLACKSTART_CACHE"),
        (SMALL, (), "BLACKSTART_RUNS", UNKNOWN, "1 MB of disk space are free"),
    ],
)  # fmt: skip
def test_m3_a_folder_that_cannot_be_used_is_one_line(
    tmp_path: Path, mount: str, words: tuple[str, ...], variable: str, code: int, said: str
) -> None:
    folder = own(tmp_path / "own")
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, "-c", COMMAND, "drill", "features", *words]
    env = os.environ | {"PYTHONPATH": str(ROOT)} | ({variable: str(folder / "there/in")} if variable else {})
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, ""), done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert said in line
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("text", [b"[x", b"x = 1", b"[[x]]", b"\xff\xfe", b"['a']\nrto_s = 'soon'\n"])
def test_m3_a_broken_file_of_promises_is_one_line(tmp_path: Path, text: bytes) -> None:
    folder = own(tmp_path / "own")
    (folder / "features/budgets.toml").write_bytes(text)
    done = drill(folder)
    assert done.returncode == int(pytest.ExitCode.USAGE_ERROR), done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "features/budgets.toml: " in line
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("kind", ["a folder", "a circle of links", "nothing"])
def test_m3_what_is_no_file_of_promises_is_one_line(tmp_path: Path, kind: str) -> None:
    folder = own(tmp_path / "own")
    file = folder / "features/budgets.toml"
    file.unlink()
    if kind == "a folder":
        file.mkdir()
    elif kind == "a circle of links":
        file.symlink_to(file.name)
    done = drill(folder)
    assert done.returncode == int(pytest.ExitCode.USAGE_ERROR), done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "features/budgets.toml: " in line
