"""Packing of folders: their files, and the modes and times of the folders themselves.

A folder follows everything that is in it, so that its mode and time are set when nothing more is written there.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import translate
from functools import partial
from typing import IO

from harness.backup.archive import Member
from harness.backup.pack import Archive, Passed, Unavailable, reason_of
from harness.core.contents import FolderFacts, Missing
from harness.core.errors import BackupFailed, UsageError
from harness.core.node import FILE, FOLDER, Entry, Readable, Skips, Volume
from harness.core.service import Place, Tree
from harness.on_disk import Names, names_of

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class FolderName(str):
    """The name of a folder in an archive."""

    __slots__ = ()


def no_path(path: str) -> str:
    """Return why a text names no file of a volume, "" when it may name one."""
    if not path.strip("/"):
        return "is no path: it names no file"
    if URL.match(path):
        return "is no path: it is a URL"
    if path.startswith("/"):
        return "is no path of the volume: it is absolute"
    if ".." in path.split("/"):
        return "is no path of the volume: it leads out of it"
    return ""


def plain(path: str) -> str:
    """Return a path without the parts that name nothing: the name of the file in its archive."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def pack_tree(place: Place, tree: Tree, referenced: Iterable[str] | None) -> Archive:
    """Return the archive of the `referenced` files of a tree, of every file for None.

    An optional folder that does not exist is empty. Raises BackupFailed for another one that does not exist,
    HarnessError for a volume without an answer.
    """
    volume = place.site.volume(tree.volume)
    archive = Archive(
        tree.name,
        lambda: (),
        partial(open_file, volume, tree, referenced=referenced is not None),
        tree.found,
        tree.sha1_named,
        folders=tuple(_leading_to(volume, tree.folder)),
    )
    if referenced is not None:
        # Two spellings of one path are one file: an archive with a name twice is refused at the restore.
        paths = Names()
        for name in names_of(referenced):
            if reason := no_path(name):
                archive.lost.append(Missing.of(name, reason))
            else:
                paths.put(plain(name), name)
        archive.names = lambda: with_folders(path for _, path in paths.items())
        return archive
    try:
        if tree.folder and (kind := volume.inspect(tree.folder).kind) != FOLDER:
            archive.lost.append(Missing(tree.folder, kind))
            return archive
    except (OSError, UsageError) as error:
        if not isinstance(error, FileNotFoundError):
            archive.lost.append(Missing(tree.folder, reason_of(error)))
            return archive
        if tree.optional:
            return archive
        raise BackupFailed(
            f"{tree.name}: volume {tree.volume} of {place.site.name} has no folder {tree.folder}; "
            "create it, or correct its declaration"
        ) from None
    archive.names = partial(_every_file, archive, volume, tree)
    return archive


def _leading_to(volume: Volume, folder: str) -> Iterator[FolderFacts]:
    """Yield the facts of a folder and of those above it, from the top, as far as they can be looked at."""
    parts = plain(folder).split("/") if plain(folder) else []
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        try:
            entry = volume.inspect(path)
        except (OSError, UsageError):  # the files in it are named one by one
            return
        if entry.kind != FOLDER:
            return
        yield FolderFacts(path, entry.mode, entry.mtime)


def with_folders(paths: Iterable[str]) -> Iterator[str]:
    """Yield paths of files that are sorted, and after the last file of each folder the FolderName of that."""
    inside: list[str] = []
    for path in paths:
        above = plain(path).split("/")[:-1]
        while inside != above[: len(inside)]:
            yield FolderName("/".join(inside))
            inside.pop()
        inside = above
        yield path
    while inside:
        yield FolderName("/".join(inside))
        inside.pop()


def left_out(tree: Tree) -> Skips:
    """Return whether a path of the volume, or a folder that it is in, belongs to another tree or is disposable."""
    top = f"{tree.folder}/" if tree.folder else ""
    others = tuple(f"{top}{folder.strip('/')}/" for folder in tree.without)
    by_depth: dict[int, list[str]] = {}
    for one in tree.disposable:  # compared with as many parts as it has: a `*` names nothing below a folder
        by_depth.setdefault(one.count("/") + 1, []).append(translate(one))
    patterns = [(depth, re.compile("|".join(some))) for depth, some in by_depth.items()]

    def skips(path: str) -> bool:
        if f"{path}/".startswith(others):
            return True
        parts = path.removeprefix(top).split("/") if patterns else []
        return any(pattern.match("/".join(parts[:depth])) for depth, pattern in patterns)

    return skips


def _every_file(archive: Archive, volume: Volume, tree: Tree) -> Iterator[str]:
    top = f"{tree.folder}/" if tree.folder else ""
    # A folder that leads to a declared tree is among the folders of that.
    led_to = (*(f"{folder.strip('/')}/" for folder in tree.without), *tree.disposable) if tree.found else ()
    archive.lost.clear()  # the names may be asked for more than once
    for entry in volume.scan(tree.folder, left_out(tree)):
        path = entry.path.removeprefix(top)
        if entry.kind == FILE:
            yield path
        elif entry.kind != FOLDER:
            archive.lost.append(Missing.of(path, entry.kind))
        elif not any(other.startswith(f"{path}/") for other in led_to):
            yield FolderName(path)


@contextmanager
def open_file(volume: Volume, tree: Tree, path: str, *, referenced: bool) -> Iterator[tuple[Member, Readable]]:
    """Yield a file or a folder of a tree; of `referenced` files only a FolderName is a folder. Raises Unavailable."""
    where = f"{tree.folder}/{path}" if tree.folder else path
    name = plain(path)
    try:
        entry = volume.inspect(where)
        if entry.kind == FOLDER and (not referenced or isinstance(path, FolderName)):
            yield Member(name, 0, entry.mode, entry.mtime, folder=True), _Empty()
            return
        if isinstance(path, FolderName):
            raise Passed(entry.kind)
        if entry.kind != FILE:
            raise Unavailable(entry.kind)
        with volume.open(where, "rb") as source:
            yield Member(name, _size(source, entry), entry.mode, entry.mtime), source
    except FileNotFoundError:
        raise (Passed if isinstance(path, FolderName) else Unavailable)("no such file") from None
    except UsageError as error:
        why = str(error).partition(f"{where!r} ")[2] or str(error)
        raise (Passed if isinstance(path, FolderName) else Unavailable)(why) from None
    except OSError as error:
        named_by_files = referenced and isinstance(path, FolderName)
        raise (Passed if named_by_files else Unavailable)(reason_of(error)) from None


def _size(source: IO[bytes], entry: Entry) -> int:
    """Return the size of an open file: it may have taken the place of the one that was looked at, and be longer."""
    try:
        return os.fstat(source.fileno()).st_size
    except OSError:  # it is on no disk of this machine
        return int(getattr(source, "size", entry.size))


class _Empty:
    """The content of a folder."""

    def read(self, _size: int, /) -> bytes:
        return b""
