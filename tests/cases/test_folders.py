"""Case 8: a folder, or a whole volume, comes back as it was; what is no file in it is named."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backup.plan import uncounted
from harness.backup.tree import pack_tree
from harness.core.contents import Missing
from harness.core.errors import BackupFailed
from harness.core.node import Entry
from harness.core.service import Tree
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.common.folder_volume import FolderVolume
from tests.cases.estate import CaseEstate
from tests.cases.pair import Pair, bucket
from tests.cases.test_files import root

pytestmark = pytest.mark.cases


def test_a_whole_folder_comes_back_with_modes_times_and_empty_folders(pair: Pair) -> None:
    volume, media, there = (
        pair.primary.site.volume("uploads"),
        pair.root("uploads") / "media",
        pair.root("uploads", pair.dr),
    )
    names = ["a b", "new\nline", "back\\slash", "ü", "u\u0308", "-dash", "*", "n" * 255, "deep/er/file", "tab\t", "'\""]
    latin = os.fsdecode(b"latin\xe9/\xff")
    others = {"tree/of/another/file": b"not ours", "cache/file": b"not ours", "../outside": b"not ours"}
    for name, data in {**{name: os.fsencode(name) for name in (*names, latin)}, "cached": b"ours", **others}.items():
        with volume.open(os.path.normpath(f"media/{name}"), "wb") as file:
            file.write(data)
    (media / "empty/folder").mkdir(parents=True)
    (media / "a b").chmod(0o754)
    os.utime(media / "a b", (1_000_000_000, 1_000_000_000.5))
    facts = pair.carry_tree(Tree("uploads", "uploads", "media", without=("cache", "tree/of/another")))
    assert (facts.files, facts.missing) == (len(names) + 2, ())
    found = {str(path.relative_to(there / "media")): path for path in (there / "media").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == {
        **{name: os.fsencode(name) for name in (*names, latin)},
        "cached": b"ours",
    }
    assert found["a b"].stat().st_mode & 0o777 == 0o754
    assert found["a b"].stat().st_mtime == 1_000_000_000.5
    assert (there / "media/empty/folder").is_dir()
    assert not (there / "outside").exists()


def test_what_is_no_file_is_named_and_not_followed(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_bytes(b"secret")
    uploads = pair.root("uploads")
    (uploads / "kept").write_bytes(b"kept")
    (uploads / "link").symlink_to("kept")
    (uploads / "folder link").symlink_to(tmp_path / "secret")
    os.mkfifo(uploads / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(uploads)  # the path of a socket is limited to some 100 bytes
        try:
            server.bind("sock")
        finally:
            os.chdir(here)
        facts = pair.carry_tree(Tree("uploads", "uploads", ""))
    assert facts.files == 1
    assert {lost.path: lost.reason for lost in facts.missing} == {
        "link": "is a symbolic link within its volume",
        "folder link": "is a symbolic link",
        "fifo": "is a FIFO",
        "sock": "is a socket",
    }
    assert [path.name for path in pair.root("uploads", pair.dr).rglob("*")] == ["kept"]


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_a_file_that_is_replaced_before_it_is_opened_is_whole(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A program writes a new file and renames it: it is not cut to the length of the one before."""
    file, real = pair.root("uploads") / "state.json", FolderVolume.inspect
    file.write_bytes(b"x" * size)

    def then_replaced(volume: FolderVolume, path: str) -> Entry:
        entry = real(volume, path)
        if volume.root == pair.root("uploads"):
            (other := file.with_name(".new")).write_bytes(b"y" * (2 * size))
            other.replace(file)
        return entry

    monkeypatch.setattr(FolderVolume, "inspect", then_replaced)
    facts = pair.carry_tree(Tree("uploads", "uploads", ""))
    assert (facts.files, facts.missing) == (1, ())
    assert (pair.root("uploads", pair.dr) / "state.json").read_bytes() == b"y" * (2 * size)


def test_a_declared_folder_that_is_missing_fails_the_backup_and_one_that_is_a_link_is_named(pair: Pair) -> None:
    tree = Tree("uploads", "uploads", "media")
    with pytest.raises(BackupFailed, match="uploads: volume uploads of primary has no folder media; create it, or"):
        pack_tree(pair.primary, tree, None)
    (pair.root("uploads") / "media").symlink_to("/etc")
    facts = pair.carry_tree(tree)
    assert [(lost.path, lost.reason) for lost in facts.missing] == [("media", "is a symbolic link")]
    assert "media: is a symbolic link" in str(uncounted(tree, facts.missing))
    listed = (Missing("2025", "cannot be read: Permission denied"), Missing("a", "is a FIFO"))
    assert "2025: cannot be read: Permission denied; put" in str(uncounted(tree, listed))
    assert uncounted(tree, (Missing("a", "is a socket"), Missing("b", "no such file"))) is None
    of_volume = replace(tree, name="volume uploads", found=True, without=("media",))
    assert str(uncounted(of_volume, listed)).endswith("read them, or exclude 'rest of volume uploads'")


def test_holes_of_a_file_take_no_room_after_its_restore(pair: Pair) -> None:
    size, at = (300 << 20) + 5, 100 << 20
    with (pair.root("uploads") / "image").open("wb") as file:
        file.truncate(size)
        file.seek(at)
        file.write(b"data")
    pair.carry_tree(Tree("uploads", "uploads", ""))
    back = pair.root("uploads", pair.dr) / "image"
    assert back.stat().st_size == size
    assert back.stat().st_blocks * 512 < 10 << 20
    with back.open("rb") as file:
        for place, data in ((at, b"data"), (at - 1, b"\0d"), (size - 1, b"\0")):
            file.seek(place)
            assert file.read(len(data)) == data


def test_what_is_missing_may_have_any_name(estate: CaseEstate) -> None:
    """A link whose name is not UTF-8 failed the backup of all else."""
    estate.create("app", "CREATE TABLE t AS SELECT 1 AS n")
    estate.declare("app", trees=[Tree("uploads", "uploads", "")])
    uploads = root(estate, "uploads")
    for name in (b"latin\xe9", b"new\nline", b"latin\\xe9 file"):
        (uploads / os.fsdecode(name + b" link")).symlink_to("/nowhere")
    (uploads / os.fsdecode(b"latin\xe9 file")).write_bytes(b"data")
    contents = estate.back_up().contents
    said = [f"uploads: {name} link: is a symbolic link" for name in ("latin\\xe9 file", "latin\\xe9", "new\\nline")]
    assert list(contents.missing) == said
    assert list(estate.restore().lost_objects) == said
    assert (root(estate, "uploads", "dr") / os.fsdecode(b"latin\xe9 file")).read_bytes() == b"data"


def test_links_in_a_circle_devices_old_times_and_deep_folders(pair: Pair) -> None:
    uploads, here = pair.root("uploads"), Path.cwd()
    times = {"1905": -2051222400.0, "before 1970": -0.5, "2200": 7258118400.0}
    for name, at in times.items():
        (uploads / name).write_bytes(b"t")
        os.utime(uploads / name, (at, at))
    (uploads / "closed").write_bytes(b"c")
    (uploads / "closed").chmod(0)
    (uploads / "setuid").write_bytes(b"s")
    (uploads / "setuid").chmod(0o4755)
    (uploads / "to itself").symlink_to("to itself")
    (uploads / "to the folder").symlink_to(".")
    os.chdir(uploads)
    try:
        for _ in range(25):  # the kernel takes no path of more than 4096 bytes
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
        Path("deep").write_bytes(b"deep")
    finally:
        os.chdir(here)
    try:
        facts = pair.carry_tree(Tree("uploads", "uploads", ""))
        back = pair.root("uploads", pair.dr)
        assert facts.files == len(times) + 3
        assert {lost.path for lost in facts.missing} == {"to itself", "to the folder"}
        assert {name: (back / name).stat().st_mtime for name in times} == times
        assert [(back / name).stat().st_mode & 0o7777 for name in ("closed", "setuid")] == [0, 0o755]
        with pair.dr.site.volume("uploads").open("/".join(["d" * 200] * 25 + ["deep"]), "rb") as file:
            assert file.read() == b"deep"
    finally:
        for root in (uploads, pair.root("uploads", pair.dr)):
            remove_tree(root / ("d" * 200))


# Case 14: one large file, one large object.


@pytest.mark.night
def test_a_large_file_and_a_large_object_take_little_memory(pair: Pair, tmp_path: Path) -> None:
    file, size = 1 << 30, 300 << 20
    for name in ("primary", "dr"):
        (tmp_path / "volumes" / name).mkdir(parents=True)
    with (tmp_path / "volumes/primary/large").open("wb") as sparse:
        sparse.truncate(file)
    with Path("/dev/zero").open("rb") as zeros:
        bucket(pair.primary).put("large", zeros, size, {}, {})
    stores = [
        [p.s3.outside.host, p.s3.outside.port, p.s3.access_key_ref, p.s3.secret_key_ref]
        for p in (pair.primary, pair.dr)
    ]
    program = [sys.executable, "-m", "tests.cases.files_in_little_memory", str(tmp_path / "volumes")]
    done = subprocess.run([*program, json.dumps(stores)], stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    assert (found["sizes"], found["lost"]) == ([file, size], [])
    assert (tmp_path / "volumes/dr/large").stat().st_size == file
    assert found["memory"] < 256, "MiB"
