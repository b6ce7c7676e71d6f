"""What a tree leaves out of its volume is not even listed: a filestore that another tree packs, sessions, caches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.backup.tree import FolderName, pack_tree
from harness.core.node import Entry
from harness.core.service import Tree
from harness.substrate.common.folder_volume import FolderVolume

FILES = (
    *("filestore/shop/aa/1", "filestore/other/bb/2", "sessions/xx/3", "sessions.old/4", "deep/sessions/5"),
    *(".app/log-1/6", ".app/log-2", ".app/kept/log-3", "media/inner/7", "media/8"),
)
OTHERS, ANEW = ("filestore/shop", "/media/"), ("sessions", ".app/log*")


@pytest.mark.parametrize(
    ("tree", "files", "folders", "listed"),
    [
        (
            Tree("volume data", "data", "", without=OTHERS, disposable=ANEW, found=True),
            [".app/kept/log-3", "deep/sessions/5", "filestore/other/bb/2", "sessions.old/4"],
            [".app/kept", "deep", "deep/sessions", "filestore/other", "filestore/other/bb", "sessions.old"],
            ["", ".app", ".app/kept", "deep", "deep/sessions", "filestore", "filestore/other", "filestore/other/bb",
             "sessions.old"],
        ),
        (Tree("app/data/media", "data", "media", without=("inner",)), ["8"], [], ["media"]),
        (Tree("app/data/deep", "data", "deep", disposable=("sess*",)), [], [], ["deep"]),
    ],
)  # fmt: skip
def test_what_is_left_out_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: Tree, files: list[str], folders: list[str], listed: list[str]
) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    seen: list[str] = []
    inside = FolderVolume._inside

    def noting(self: FolderVolume, folder: str, *more: Any) -> list[Entry]:
        seen.append(folder)
        return inside(self, folder, *more)

    monkeypatch.setattr(FolderVolume, "_inside", noting)
    place: Any = SimpleNamespace(site=SimpleNamespace(volume=lambda _name: FolderVolume(tmp_path)))
    names = list(pack_tree(place, tree, None).names())
    assert sorted(name for name in names if not isinstance(name, FolderName)) == files
    assert sorted(name for name in names if isinstance(name, FolderName)) == folders
    assert sorted(seen) == listed
