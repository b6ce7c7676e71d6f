"""Base backup or chain of backups as one data folder: each part fetched and verified, several combined.

pg_combinebackup does not verify what it reads (PostgreSQL documentation, "pg_combinebackup", Notes).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.core.errors import RestoreFailed
from harness.core.journal import Journal
from harness.physical.incremental.checkpoints import Checkpoints
from harness.physical.incremental.parts import kept_parts
from harness.physical.programs import Programs
from harness.physical.unpack import SPACES, spaces_of, tablespaces_of, unpack
from harness.repository.catalogue import OpenBackup

LINKS = 18  # first major whose pg_combinebackup can link files; the parts are removed anyway

Progress = Callable[[int], None]


def combine(
    chain: Sequence[OpenBackup],
    folder: Path,
    programs: Programs,
    journal: Journal,
    progress: Progress | None = None,
    *,
    keep: bool = True,
) -> None:
    """Write a chain of backups, the full one first, into an empty folder, as one.

    `keep`: what was fetched, after an interruption. Raises Unreadable for a part that is not authentic, RestoreFailed
    that names a part that is not whole, OSError.
    """
    with kept_parts(folder, chain, keep=keep) as place:
        folders = [place / str(number) for number in range(len(chain))]
        for part, at in zip(chain, folders, strict=True):
            _fetch(part, at, programs, journal, progress)
        if len(chain) == 1:
            _move(folders[0], folder)
            return
        words = ["--output", str(folder), "--manifest-checksums=SHA256", "--no-sync"]
        if programs.major >= LINKS:
            words.append("--link")
        for oid in tablespaces_of(chain[-1]):
            old, new = _quoted(spaces_of(folders[-1]) / oid), _quoted(spaces_of(folder) / oid)
            words += ["--tablespace-mapping", f"{old}={new}"]
        programs.run("pg_combinebackup", *words, *map(str, folders))
        _verify(chain[-1].backup_id, folder, programs)
    journal.mark("combined", chain[-1].backup_id, parts=len(chain), by="pg_combinebackup")


def _fetch(backup: OpenBackup, folder: Path, programs: Programs, journal: Journal, progress: Progress | None) -> None:
    """Write a base backup into a folder and verify it, from where an earlier run ended."""
    checkpoints = Checkpoints(folder.with_name(f"{folder.name}.jsonl"))
    if checkpoints.verified:
        journal.mark("kept", backup.backup_id, why="fetched and verified before an interruption")
        if progress is not None:
            progress(backup.manifest.plain_size)
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    unpack(backup, folder, checkpoints, progress)
    _verify(backup.backup_id, folder, programs)
    checkpoints.whole()
    journal.mark("verified", backup.backup_id, by="pg_verifybackup")


def _move(part: Path, folder: Path) -> None:
    """Put the only part in the place of the empty folder, and its tablespaces in theirs."""
    part.replace(folder)
    if spaces_of(part).is_dir():
        spaces_of(part).replace(spaces_of(folder))
        for link in (folder / SPACES).iterdir():
            if link.is_symlink():
                link.unlink()
                link.symlink_to(spaces_of(folder).absolute() / link.name)


def _verify(name: str, folder: Path, programs: Programs) -> None:
    try:
        programs.run("pg_verifybackup", "--no-parse-wal", str(folder))
    except RestoreFailed as error:
        raise RestoreFailed(f"backup {name}: {error}") from None


def _quoted(folder: Path) -> str:
    """Return a path as --tablespace-mapping takes it."""
    return str(folder.absolute()).replace("=", "\\=")
