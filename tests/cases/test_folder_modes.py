"""A folder comes back with its mode and time, whatever its mode lets its owner do."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.backup.archive import Member
from harness.backup.tree import pack_tree
from harness.backup.unpack import unpack
from harness.core.contents import TreeFacts
from harness.core.service import Tree
from harness.recovery.restore_folders import Unpacked, settle
from harness.recovery.write_files import into_volume
from tests.cases.files_in_little_memory import place
from tests.cases.pair import Pair, as_nobody

pytestmark = [pytest.mark.cases, pytest.mark.night]

NOBODYS: list[str | int] = ["127.0.0.1", 9, "", ""]  # a store
MODES = {"a": 0o755, "a/b": 0o2775, "a/b/shared": 0o1777, "a/closed": 0o500, "a/dark": 0o311, "a/empty": 0o555}


def looks(root: Path) -> dict[str, tuple[int, float]]:
    """Return mode and mtime of every folder in MODES."""
    found = {name: (root / name).stat() for name in MODES}
    return {name: (status.st_mode & 0o7777, status.st_mtime) for name, status in found.items()}


def folders_of(root: Path) -> dict[str, tuple[int, float]]:
    """Make folders with a file in each but one; return what `looks` finds."""
    for name in MODES:
        (root / name).mkdir(parents=True, exist_ok=True)
        if name != "a/empty":
            (root / name / "file").write_bytes(name.encode())
    for at, (name, mode) in enumerate(reversed(MODES.items()), 1_000_000_000):
        os.utime(root / name, (at, at + 0.5))
        (root / name).chmod(mode)
    return looks(root)


@pytest.mark.parametrize("folder", ["", "a/b/shared"])
def test_every_folder_comes_back_with_its_mode_and_time(pair: Pair, folder: str) -> None:
    """Another user's web server reads uploads: a folder that comes back as 0700 shuts it out."""
    expected = folders_of(pair.root("uploads"))
    pair.carry_tree(Tree("uploads", "uploads", folder))
    if folder:  # and those above it, in which it has nothing else
        expected = {name: expected[name] for name in ("a", "a/b", "a/b/shared")}
        for name in MODES.keys() - expected.keys():
            (pair.root("uploads", pair.dr) / name).mkdir()
    found = looks(pair.root("uploads", pair.dr))
    assert {name: found[name][0] for name in expected} == {name: mode for name, (mode, _) in expected.items()}
    if not folder:
        assert found == expected


@pytest.fixture
def anyone() -> Iterator[Path]:
    """A folder that every user reaches, with the volumes of `place`: those of pytest are root's alone."""
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        for folder in (home, home / "primary", home / "dr"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
        yield home


def test_a_user_who_is_not_root_restores_folders_that_shut_him_out_and_removes_them(anyone: Path) -> None:
    uploads, back = anyone / "primary", anyone / "dr"
    primary, dr = place(uploads, NOBODYS), place(back, NOBODYS)
    for name in ("read only", "read only/in it", "other tree"):
        (uploads / name).mkdir()
        (uploads / name / "file").write_bytes(b"data")
        (uploads / name).chmod(0o777)
    os.truncate(uploads / "read only/in it/file", 1 << 20)  # not one that is held in memory
    for name, mode in (("read only/in it", 0o555), ("read only", 0o555), ("other tree", 0o500)):
        (uploads / name).chmod(mode)
    trees = [
        Tree("rest", "uploads", "", without=("read only/in it",)),
        Tree("inner", "uploads", "read only/in it"),
    ]
    archives = [(tree, pack_tree(primary, tree, None)) for tree in trees]
    packed = [(tree, list(archive.chunks()), archive.facts) for tree, archive in archives]
    back.chmod(0o777)
    with as_nobody():
        for _ in range(2):  # a second time over the first one
            done = [
                Unpacked(tree, facts, unpack(tree.name, iter(chunks), facts, into_volume(dr, tree)))
                for tree, chunks, facts in packed
            ]
            assert settle(dr, done) == ()
            modes = {path.name: path.stat().st_mode & 0o7777 for path in back.rglob("*") if path.is_dir()}
            assert modes == {"read only": 0o555, "in it": 0o555, "other tree": 0o500}
        volume = dr.site.volume("uploads")
        volume.remove("read only/in it/file")
        assert not (back / "read only/in it/file").exists()
        volume.remove("read only")
        volume.remove("other tree")
    assert list(back.iterdir()) == []


def test_the_folders_of_files_that_a_database_refers_to_have_their_modes(pair: Pair) -> None:
    expected = folders_of(pair.root("uploads"))
    tree = Tree("uploads", "uploads", "a", "db", "SELECT path")
    names = ["b/shared/file", "./b/file", "b//file", "file", "b-other/none", "closed/file", "b", "gone/a/file"]
    archive = pack_tree(pair.primary, tree, names)
    chunks = list(archive.chunks())
    inventory = unpack(archive.name, iter(chunks), archive.facts, into_volume(pair.dr, tree))
    assert settle(pair.dr, [Unpacked(tree, archive.facts, inventory)]) == ()
    assert {lost.path: lost.reason for lost in archive.facts.missing} == {
        "b": "is a folder",
        "b-other/none": "no such file",
        "gone/a/file": "no such file",
    }
    back = pair.root("uploads", pair.dr)
    there = {str(path.relative_to(back)): path.stat() for path in back.rglob("*") if path.is_dir()}
    kept = {name: (status.st_mode & 0o7777, status.st_mtime) for name, status in there.items()}
    assert kept == {name: expected[name] for name in ("a", "a/b", "a/b/shared", "a/closed")}


def test_a_folder_of_another_user_that_is_there_is_named_with_its_mode(anyone: Path) -> None:
    (anyone / "primary/media").mkdir(0o750)
    (anyone / "primary/media/file").write_bytes(b"data")
    back, dr = anyone / "dr/media", place(anyone / "dr", NOBODYS)
    back.mkdir()
    back.chmod(0o777)
    if os.getuid():
        pytest.skip("root alone makes a folder of another user")
    tree = Tree("uploads", "uploads", "")
    archive = pack_tree(place(anyone / "primary", NOBODYS), tree, None)
    chunks = list(archive.chunks())
    with as_nobody():
        inventory = unpack(archive.name, iter(chunks), archive.facts, into_volume(dr, tree))
        (line,) = settle(dr, [Unpacked(tree, archive.facts, inventory)])
    assert line == (
        "volume uploads: folders with another mode than in the backup: media (0777, not 0750: operation not permitted)"
    )
    assert (back / "file").read_bytes() == b"data"


def test_an_archive_of_before_has_only_empty_folders(pair: Pair) -> None:
    file, folder = Member("a/file", 4, 0o644), Member("a/empty", 0, 0o750, 1_000_000_000.5, folder=True)
    digest = hashlib.sha256()
    digest.update(folder.line(hashlib.sha256().hexdigest()).encode())
    digest.update(file.line(hashlib.sha256(b"data").hexdigest()).encode())
    facts = TreeFacts("uploads", 1, 4, digest.hexdigest())
    chunks = [folder.header(), file.header(), b"data".ljust(512, b"\0"), bytes(1024)]
    tree = Tree("uploads", "uploads", "media")
    inventory = unpack("uploads", iter(chunks), facts, into_volume(pair.dr, tree))
    settle(pair.dr, [Unpacked(tree, facts, inventory)])
    back = pair.root("uploads", pair.dr) / "media/a"
    assert ((back / "empty").stat().st_mode & 0o777, (back / "empty").stat().st_mtime) == (0o750, 1_000_000_000.5)
    assert back.stat().st_mode & 0o777 == 0o700
