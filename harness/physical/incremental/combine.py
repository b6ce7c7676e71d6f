"""Combination of a chain of backups: each part fetched and verified, then one data folder made by pg_combinebackup.

pg_combinebackup does not verify what it reads (PostgreSQL documentation, "pg_combinebackup", Notes).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import RestoreFailed
from harness.core.journal import Journal
from harness.physical.server import Programs
from harness.physical.unpack import require_empty, spaces_of, tablespaces_of, unpack
from harness.repository.catalogue import OpenBackup
from harness.substrate.common.filesystem import remove_tree

LINKS = 18  # first major whose pg_combinebackup can link files; the parts are removed anyway

Progress = Callable[[int], None]


def fetch(
    backup: OpenBackup, folder: Path, programs: Programs, journal: Journal, progress: Progress | None = None
) -> None:
    """Write a base backup into an empty folder and verify it. Raises as `unpack`, RestoreFailed if it is not whole."""
    unpack(backup, folder, progress)
    _verify(backup.backup_id, folder, programs)
    journal.mark("verified", backup.backup_id, by="pg_verifybackup")


def combine(
    chain: Sequence[OpenBackup],
    folder: Path,
    programs: Programs,
    journal: Journal,
    progress: Progress | None = None,
) -> None:
    """Write a chain of backups, the full one first, into an empty folder, as one. Raises as `fetch`, naming the part.

    The parts are in a folder beside it meanwhile, which is removed in any case.
    """
    with _parts(folder) as place:
        folders = [place / str(number) for number in range(len(chain))]
        for part, at in zip(chain, folders, strict=True):
            at.mkdir(mode=0o700)
            fetch(part, at, programs, journal, progress)
        words = ["--output", str(folder), "--manifest-checksums=SHA256", "--no-sync"]
        if programs.major >= LINKS:
            words.append("--link")
        for oid in tablespaces_of(chain[-1]):
            old, new = _quoted(spaces_of(folders[-1]) / oid), _quoted(spaces_of(folder) / oid)
            words += ["--tablespace-mapping", f"{old}={new}"]
        programs.run("pg_combinebackup", *words, *map(str, folders))
    _verify(chain[-1].backup_id, folder, programs)
    journal.mark("combined", chain[-1].backup_id, parts=len(chain), by="pg_combinebackup")


@contextmanager
def _parts(folder: Path) -> Iterator[Path]:
    """Make the folder of the parts, on the same disk, and remove it at the end of the block."""
    place = folder.with_name(f"{folder.name}-parts")
    require_empty(place)
    there = place.is_dir()
    place.mkdir(mode=0o700, exist_ok=True)
    try:
        yield place
    finally:
        remove_tree(place)
        if there:
            place.mkdir(mode=0o700)


def _verify(name: str, folder: Path, programs: Programs) -> None:
    try:
        programs.run("pg_verifybackup", "--no-parse-wal", str(folder))
    except RestoreFailed as error:
        raise RestoreFailed(f"backup {name}: {error}") from None


def _quoted(folder: Path) -> str:
    """Return a path as --tablespace-mapping takes it."""
    return str(folder.absolute()).replace("=", "\\=")
