"""Modes and times of restored folders: set once all files are written, for they may keep even their owner out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.backup.pack import reason_of
from harness.backup.tar import shown
from harness.backup.unpack import Inventory
from harness.core.contents import TreeFacts
from harness.core.errors import RestoreFailed, UsageError
from harness.core.node import FOLDER, Entry, Volume
from harness.core.service import Place, Tree

NAMED = 5  # folders that a line for the record names


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An archive whose files were restored into a volume."""

    tree: Tree
    facts: TreeFacts
    inventory: Inventory

    def folders(self) -> Iterator[Entry]:
        """Yield the folders below the tree's own, each after those in it."""
        top = f"{self.tree.folder}/" if self.tree.folder else ""
        for member, _ in self.inventory.members():
            if member.folder:
                yield Entry(top + member.name, FOLDER, 0, member.mode, member.mtime)

    def above(self) -> Iterator[Entry]:
        """Yield the tree's own folder, and those above it."""
        for folder in reversed(self.facts.folders):
            yield Entry(folder.path, FOLDER, 0, folder.mode, folder.mtime)


def settle(place: Place, unpacked: Sequence[Unpacked]) -> tuple[str, ...]:
    """Give every folder its mode and time; return a line for each tree with folders that have another mode then.

    Raises RestoreFailed for a folder that cannot be made.
    """
    # What is set on a folder may forbid what is still to be made in it: the innermost folders are first.
    inner = sorted(unpacked, key=lambda one: -one.tree.folder.count("/") if one.tree.folder else 1)
    lines: list[str] = []
    for one in inner:
        lines += _settled(place, one.tree, one.folders())
    above = {(one.tree.volume, entry.path): (one.tree, entry) for one in inner for entry in one.above()}
    for tree, entry in sorted(above.values(), key=lambda pair: -pair[1].path.count("/")):
        lines += _settled(place, tree, [entry])
    return tuple(lines)


def _settled(place: Place, tree: Tree, folders: Iterable[Entry]) -> Iterator[str]:
    volume, named, count = place.site.volume(tree.volume), list[str](), 0
    for wanted in folders:
        try:
            differs = _differs(volume, wanted)
        except (OSError, UsageError) as error:
            where = f"volume {tree.volume} of {place.site.name}"
            raise RestoreFailed(f"{where}: {shown(wanted.path)} cannot be restored: {reason_of(error)}") from error
        if differs:
            count += 1
            named += [f"{shown(wanted.path)} {differs}"] if count <= NAMED else []
    if count:
        more = f" and {count - NAMED} more" if count > NAMED else ""
        yield f"volume {tree.volume}: folders with another mode than in the backup: {', '.join(named)}{more}"


def _differs(volume: Volume, wanted: Entry) -> str:
    """Make a folder with its mode and time; return how its mode differs, "" for not at all. Raises OSError."""
    why = ""
    try:
        found = volume.adjust(wanted)
    except OSError as error:  # it belongs to another user
        found, why = volume.inspect(wanted.path), f": {reason_of(error)}"
        if found.kind != FOLDER:
            raise
    return f"({found.mode:04o}, not {wanted.mode:04o}{why})" if found.mode != wanted.mode else ""
