"""Folders of a lost site are out of reach at once, and gone in the end."""

import os
import threading
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.substrate.common import lost
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.common.lost import Lost, size_of


def filled(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "rows").write_bytes(b"rows")
    return folder


def test_nothing_is_removed_beside_a_recovery(tmp_path: Path) -> None:
    site, run = filled(tmp_path / "sites/primary"), Lost(tmp_path, room=0.0)
    run.take(site)
    assert not site.exists()
    run.wait()
    assert (tmp_path / "lost/primary-0/rows").exists()  # a sweep of the run removes it


def test_on_a_disk_that_is_nearly_full_a_folder_is_removed_at_once(tmp_path: Path) -> None:
    run = Lost(tmp_path, room=1e12)
    run.take(filled(tmp_path / "sites/primary"))

    def probe() -> None:
        if left := list((tmp_path / "lost").iterdir()):
            raise NotYet(f"{left} are there")

    wait_until(probe, patience=10, every=0.01)


def test_a_folder_is_away_before_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def late(folder: Path) -> None:
        assert go.wait(60)
        remove_tree(folder)

    monkeypatch.setattr(lost, "remove_tree", late)
    site, run = filled(tmp_path / "sites/primary"), Lost(tmp_path, room=1e12)
    run.take(site)
    assert not site.exists()
    filled(site)  # a site that is made again under the same name
    go.set()
    run.wait()
    assert (site / "rows").exists()
    assert not list((tmp_path / "lost").iterdir())


def test_two_sites_of_a_name_do_not_meet(tmp_path: Path) -> None:
    for _ in range(2):  # the second as a process that was started anew
        run = Lost(tmp_path, room=1e12)
        (tmp_path / "lost/primary-0").mkdir(parents=True, exist_ok=True)
        run.take(filled(tmp_path / "sites/primary"))
        run.wait()
        assert [one.name for one in (tmp_path / "lost").iterdir()] == ["primary-0"]


def test_no_folder_is_no_error(tmp_path: Path) -> None:
    run = Lost(tmp_path)
    run.take(tmp_path / "sites/primary")
    run.wait()


def test_a_folder_that_cannot_be_moved_is_named(tmp_path: Path) -> None:
    site = filled(tmp_path / "sites/primary")
    (tmp_path / "lost").symlink_to("/proc/self")
    with pytest.raises(HarnessError, match=r"primary: cannot be removed .* remove it by hand"):
        Lost(tmp_path).take(site)
    assert site.exists()


def test_the_room_that_a_folder_leaves_is_counted_in_what_it_takes_on_the_disk(tmp_path: Path) -> None:
    site = filled(tmp_path / "sites/primary")
    (site / "sub").mkdir()
    (site / "sub/data").write_bytes(os.urandom(1 << 20))
    (site / "link").symlink_to(site / "sub/data")
    with (site / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    assert 1 << 20 <= size_of(site) < 2 << 20
