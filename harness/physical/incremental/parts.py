"""Folder of the parts of a restore, beside its target: after an interruption the same command goes on from there."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import HarnessError, Refused, Unreadable, UsageError
from harness.physical.unpack import require_empty
from harness.repository.catalogue import OpenBackup
from harness.substrate.common.filesystem import remove_tree

NAMES = "backups.json"  # the backups whose parts they are
FINAL = (Unreadable, Refused, UsageError)  # errors that another run would meet again


def parts_of(folder: Path) -> Path:
    """Return the folder in which the parts are while a chain is restored into another one."""
    return folder.with_name(f"{folder.name}-parts")


def require_parts(folder: Path, chain: Sequence[OpenBackup]) -> None:
    """Raise UsageError unless the parts can be there: nothing is, or what was fetched of the same backups."""
    place = parts_of(folder)
    if not place.is_symlink() and (place / NAMES).is_file():
        if _names(place) == _named(chain):
            return
        raise UsageError(f"--into {folder}: {place} has what was fetched of other backups; remove it")
    require_empty(place)


def held(folder: Path) -> int:
    """Return the bytes that are there of an interrupted restore."""
    return sum(one.stat().st_size for one in parts_of(folder).rglob("*") if one.is_file() and not one.is_symlink())


@contextmanager
def kept_parts(folder: Path, chain: Sequence[OpenBackup], *, keep: bool) -> Iterator[Path]:
    """Yield the folder of the parts, which is removed at the end of the block.

    `keep`: after an interruption, or an error that need not come again, it stays, and a note of the error says so.
    """
    place = parts_of(folder)
    require_parts(folder, chain)
    place.mkdir(mode=0o700, exist_ok=True)
    (place / NAMES).write_text(json.dumps(_named(chain)), encoding="utf-8")
    try:
        yield place
    except (KeyboardInterrupt, HarnessError, OSError) as error:
        if not keep or isinstance(error, FINAL):
            remove_tree(place)
        else:
            error.add_note(f"what was fetched is in {place}: the same command goes on from there")
        raise
    except BaseException:
        remove_tree(place)
        raise
    remove_tree(place)


def _named(chain: Sequence[OpenBackup]) -> list[str]:
    return [one.backup_id for one in chain]


def _names(place: Path) -> object:
    try:
        return json.loads((place / NAMES).read_text(encoding="utf-8"))
    except ValueError:
        return None
