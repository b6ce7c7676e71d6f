"""The cache of parts: a part is complete or missing, also with concurrent installations."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, TookTooLong
from harness.parts.cache import cache_home, folder_of, obtain, version_in

INSTALLER = """
import sys
from pathlib import Path
from harness.core.clock import SYSTEM
from harness.parts.cache import obtain

def build(empty):
    with open(sys.argv[2], "a") as builders:
        builders.write("built\\n")
    for number in range(20):
        (empty / f"{number}.txt").write_text("x" * number)
        SYSTEM.sleep(0.01)
    return "7.1"

folder = Path(sys.argv[1])
obtain(folder, build)
print(len(list(folder.glob("*.txt"))))
"""


def make(empty: Path) -> str:
    (empty / "program").write_text("#!")
    return "1.0"


def test_two_processes_install_a_part_once_and_both_find_it_complete(tmp_path: Path) -> None:
    folder, builders = tmp_path / "parts/thing-1", tmp_path / "builders"
    command = [sys.executable, "-c", INSTALLER, str(folder), str(builders)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=30)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert outputs == ["20", "20"]
    assert builders.read_text() == "built\n"


def test_concurrent_threads_build_a_part_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        fresh = list(pool.map(lambda _: obtain(tmp_path / "thing-1", make), range(4)))
    assert sorted(fresh) == [False, False, False, True]


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def half(empty: Path) -> str:
        (empty / "half").write_text("")
        raise HarnessError("registry unreachable")

    folder = tmp_path / "thing-1"
    with pytest.raises(HarnessError, match="registry unreachable"):
        obtain(folder, half)
    assert not folder.exists()
    assert obtain(folder, make)
    assert sorted(path.name for path in folder.iterdir()) == [".version", "program"]


def test_the_partial_folder_of_a_killed_build_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".thing-1.partial"
    left.mkdir()
    (left / "stale").write_text("")
    obtain(tmp_path / "thing-1", make)
    assert not (tmp_path / "thing-1/stale").exists()
    assert not left.exists()


def test_waiting_for_the_lock_of_another_build_times_out(tmp_path: Path) -> None:
    folder = tmp_path / "thing-1"

    def build(empty: Path) -> str:
        obtain(folder, make, patience=0.2)
        return "never"

    with pytest.raises(TookTooLong, match="thing-1"):
        obtain(folder, build)


def test_the_version_is_the_one_returned_by_the_build(tmp_path: Path) -> None:
    assert version_in(tmp_path / "thing-1") == ""
    obtain(tmp_path / "thing-1", make)
    assert version_in(tmp_path / "thing-1") == "1.0"


def test_the_folder_depends_on_every_ingredient() -> None:
    assert folder_of("thing", "lock", "x86") == folder_of("thing", "lock", "x86")
    assert folder_of("thing", "lock", "x86") != folder_of("thing", "lock", "arm")
    assert folder_of("thing", "ab", "c") != folder_of("thing", "a", "bc")


def test_cache_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BLACKSTART_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_home() == tmp_path / "blackstart"
    monkeypatch.setenv("BLACKSTART_CACHE", str(tmp_path / "own"))
    assert cache_home() == tmp_path / "own"
    monkeypatch.delenv("BLACKSTART_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_home() == tmp_path / ".cache/blackstart"
