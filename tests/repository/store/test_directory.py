"""What a directory adds to the conformance tests: marker, permissions, odd names, full disks, links, leftovers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, Unreadable, UsageError
from harness.repository.catalogue import Repository
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.directory.folders import MARKER
from harness.repository.store.directory.marker import mark
from harness.repository.store.directory.names import decoded, files_of
from harness.repository.upkeep.reaper import reap
from tests.repository.store_servers import Recipients, back_up

ODD = (
    "plain", "A and a", "a", "A", ".hidden", "..", ".", "", "über/größe", "a%2Fb", "%+", "%_", "new\nline", "tab\t",
    "x" * 255, "ü" * 300,
    "y" * 200, "y" * 200 + "!", "y" * 200 + "/z", "y" * 201, "*?:<>|\\\"'", "emoji \N{SNOWMAN}", "-rf", "CON",
    "end.", "end ",
)  # fmt: skip


def _names(directory: DirectoryStore) -> list[str]:
    return sorted(path.name for path in directory.root.iterdir())


def test_every_key_is_kept_as_it_is_and_listed_in_order(directory: DirectoryStore) -> None:
    keys = [f"e/{n:02}/{name}" for n, name in enumerate(ODD)] + [
        f"e/{'y' * 251}/1",
        "e/y/1",
        "e/" + "y" * 199,
    ]
    for key in keys:
        directory.put(key, (key.encode(),))
    assert [one.key for one in directory.list("e/")] == sorted(keys, key=str.encode)
    for key in keys:
        assert b"".join(directory.get(key)) == key.encode()
        assert [one.key for one in directory.list(key)] == [key]
        directory.delete(key)
    assert _names(directory) == [MARKER]


def test_keys_that_continue_each_other_are_listed_in_order(directory: DirectoryStore) -> None:
    long = "y" * 200
    keys = [f"e/{long}{end}" for end in ("/z", "/y/2", "!", "0", "#/1", "%")] + [f"e/{'y' * 199}", "e/z"]
    for key in keys:
        directory.put(key, (b"x",))
    assert [one.key for one in directory.list("e/")] == sorted(keys, key=str.encode)


@pytest.mark.parametrize("name", ["a%2fb", "%41", "a%", ".x", "%2E", "x" * 201, "ü", "%zz"])
def test_a_name_that_no_key_has_is_no_object(directory: DirectoryStore, name: str) -> None:
    directory.put("e/a", (b"x",))
    (directory.root / "e" / name).write_bytes(b"foreign")
    listed = [one.key for one in directory.list("e/")]
    assert listed == (["e/.", "e/a"] if name == "%2E" else ["e/a"])
    assert name == "%2E" or decoded(name) is None


def test_an_object_and_a_folder_of_one_name_are_refused(directory: DirectoryStore) -> None:
    directory.put("e/a", (b"x",))
    with pytest.raises(HarnessError, match="e/a/b: cannot be stored: a file or a symbolic link is in the place"):
        directory.put("e/a/b", (b"x",))
    with pytest.raises(HarnessError, match="e: cannot be stored: it is a folder"):
        directory.put("e", (b"x",))
    assert [one.key for one in directory.list("")] == ["e/a"]


def test_nobody_else_may_read_what_is_written(directory: DirectoryStore) -> None:
    before = os.umask(0)
    try:
        directory.put("e/data/a", (b"x",))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (directory.root / "e").rglob("*")}
    assert modes == {"data": 0o700, "a": 0o600}
    assert (directory.root / MARKER).stat().st_mode & 0o7777 == 0o600


def test_an_unmounted_folder_is_no_empty_repository(directory: DirectoryStore) -> None:
    directory.put("e/a", (b"x",))
    (directory.root / MARKER).unlink()
    for act in (
        lambda: list(directory.list("e/")),
        lambda: list(directory.get("e/a")),
        lambda: directory.put("e/b", (b"x",)),
        lambda: directory.delete("e/a"),
        lambda: directory.abandon("e/"),
    ):
        with pytest.raises(HarnessError, match=f"{directory.root}: has no {MARKER}: is its disk mounted"):
            act()
    assert [path.name for path in directory.root.rglob("*")] == ["e", "a"]
    with pytest.raises(HarnessError, match="is no folder: is its disk mounted"):
        list(DirectoryStore(directory.root / "absent").list(""))


def test_only_an_empty_folder_becomes_a_repository(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with pytest.raises(UsageError, match="No such file or directory; make the folder"):
        mark(folder)
    folder.mkdir()
    (folder / "lost+found").mkdir()
    mark(folder)
    with pytest.raises(UsageError, match="is a repository already"):
        mark(folder)
    (tmp_path / "used").mkdir()
    (tmp_path / "used/photo.jpg").touch()
    with pytest.raises(UsageError, match=r"is not empty \(photo.jpg\)"):
        mark(tmp_path / "used")
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["photo.jpg"]


def test_a_file_system_that_takes_a_for_a_capital_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: there(path) or there(path.with_name(path.name.lower())))
    with pytest.raises(UsageError, match=f"{tmp_path}: its file system does not tell a from A"):
        mark(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_symbolic_links_are_not_followed(directory: DirectoryStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    directory.put("e/data/a", (b"x",))
    (directory.root / "e/data/file").symlink_to(outside / "secret")
    (directory.root / "e/data/folder").symlink_to(outside)
    assert [one.key for one in directory.list("e/")] == ["e/data/a"]
    with pytest.raises(Unreadable, match="e/data/file: cannot be read: it is a symbolic link"):
        list(directory.get("e/data/file"))
    with pytest.raises(Unreadable, match="a symbolic link is in the place of a folder"):
        list(directory.get("e/data/folder/secret"))
    with pytest.raises(HarnessError, match="e/data/folder/new: cannot be stored"):
        directory.put("e/data/folder/new", (b"x",))
    directory.put("e/data/file", (b"mine",))  # the link is replaced, what it named is not
    directory.delete("e/data/folder")
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"
    assert b"".join(directory.get("e/data/file")) == b"mine"


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_not_read(directory: DirectoryStore, kind: str) -> None:
    directory.put("e/a", (b"x",))
    at = directory.root / "e/b"
    os.mkfifo(at) if kind == "fifo" else at.mkdir()
    assert [one.key for one in directory.list("e/")] == ["e/a"]
    with pytest.raises(Unreadable, match="e/b: is no file; remove it"):
        list(directory.get("e/b"))


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from harness.core.errors import HarnessError
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.directory.marker import mark
root = Path(sys.argv[1])
mark(root)
store = DirectoryStore(root)
store.put("e/kept", (b"kept",))
try:
    store.put("e/large", (bytes(1 << 20) for _ in range(64)))
except HarnessError as error:
    print(error)
print([one.key for one in store.list("")], sorted(path.name for path in root.rglob("*")))
"""
    root = tmp_path / "small"
    root.mkdir()
    mounted = 'mount -t tmpfs -o size=4m none "$1" && shift && exec "$@"'
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh", str(root)]
    done = subprocess.run([*argv, sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith(f"store {root}, e/large: cannot be stored: no space left; free some")
    assert second == f"['e/kept'] ['{MARKER}', 'e', 'kept']"


def test_a_killed_writer_leaves_no_object_and_its_part_file_is_removed(directory: DirectoryStore) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from harness.repository.store.directory.files import DirectoryStore
def dying():
    yield b"begun"
    os.kill(os.getpid(), signal.SIGKILL)
DirectoryStore(Path(sys.argv[1])).put("e/data/b1/x", dying())
"""
    done = subprocess.run([sys.executable, "-c", script, str(directory.root)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(directory.list("")) == []
    assert len(list((directory.root / "e/data/b1").iterdir())) == 1
    assert directory.sweep("e/", 3600) == 0
    assert directory.abandon("e/data/b2/") == 0
    assert directory.abandon("e/data/b1/y") == 0
    assert directory.abandon("e/data/b1/") == 1
    assert list((directory.root / "e/data/b1").iterdir()) == []


def test_reaping_removes_old_part_files_alone(directory: DirectoryStore, recipients: Recipients) -> None:
    repository: Repository = recipients.repository(directory)
    back_up(repository, recipients)
    folder = directory.root / "shop/commit"
    old, new = folder / f".x.json.{'0' * 16}.part", folder / f".x.json.{'1' * 16}.part"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    reap(repository)
    assert not old.exists()
    assert new.exists()
    assert len(repository.committed()) == 1


def test_an_object_is_on_the_disk_before_it_has_its_name(
    directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noting(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def noted(*words: object, **more: object) -> object:
            done.append(name)
            return real(*words, **more)

        return noted

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    directory.put("a", (b"x",))
    assert done == ["fsync", "replace", "fsync"]


def test_a_failed_sync_is_no_stored_object(directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_file: int) -> None:
        raise OSError(5, "Input/output error")

    directory.put("a", (b"old",))
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(HarnessError, match="a: cannot be stored: its disk does not read or write it"):
        directory.put("a", (b"new",))
    assert b"".join(directory.get("a")) == b"old"
    assert _names(directory) == [MARKER, "a"]


def test_no_file_stays_open(directory: DirectoryStore) -> None:
    def opened() -> list[str]:
        # Of this store alone: what other tests have left may be closed at any time, by threads or the collector.
        links = []
        for link in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                links.append(str(link.readlink()))
        return sorted(link for link in links if link.startswith(str(directory.root)))

    def half() -> Iterator[bytes]:
        yield b"x"
        raise OSError("dies")

    for _ in range(3):
        directory.put("e/f/a", (b"x" * (3 << 20),))
        next(directory.get("e/f/a"))
        next(directory.list("e/"))
        with pytest.raises(OSError, match="dies"):
            directory.put("e/f/b", half())
        with pytest.raises(Unreadable):
            list(directory.get("e/none/x"))
        directory.delete("e/f/a")
    assert opened() == []


def test_long_names_are_split_between_encoded_bytes() -> None:
    names = files_of("é" * 500)
    assert all(len(name) <= 202 for name in names)
    assert b"".join(decoded(name) or b"" for name in names).decode() == "é" * 500
