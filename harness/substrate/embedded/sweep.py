"""Sweep of a run on this machine, from its undo journal alone: processes, shared memory, files, the run folder."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.embedded.process_tree import Owner, end_all
from harness.substrate.embedded.shared_memory import remove, unlink
from harness.substrate.embedded.undo_journal import ELSEWHERE, JOURNAL, Undo, journalled, not_undone

UNDO = "undo"  # folder in a run folder: what its journal needs to undo a change of an existing site


@dataclass(frozen=True, slots=True)
class Swept:
    """Result of a sweep: how many processes were killed and how many files removed."""

    processes: int
    files: int


def sweep(run: Path, *, resumed: bool = False) -> Swept:
    """SIGKILL every process of a run and remove its folder and files; works in another process after a crash.

    The journal stays while a change of an existing site is to be undone, and where the run is to be `resumed`. Raises
    TookTooLong for a process that does not end, HarnessError for a file that cannot be removed.
    """
    run = run.resolve()
    rows = journalled(run)
    killed = end_all({row.process for row in rows if row.process}, Owner(run))
    remove(row.segment for row in rows if row.segment)  # of processes that had ended before
    unlink(row.shared for row in rows if row.shared)
    noted = {row.file for row in rows if row.file and os.path.lexists(row.file)} | set(state_files(run))
    for file in noted:
        _remove(file)
    kept = (JOURNAL, UNDO) if resumed or not_undone(run, *ELSEWHERE) else ()
    removed, failed = len(noted), list[str]()
    for entry in run.iterdir() if run.is_dir() else ():
        if entry.name not in (*kept, JOURNAL):
            try:
                removed += _remove(entry)
            except HarnessError as error:
                failed.append(str(error))
    if failed:  # the journal is there: the sweep can be repeated, as one that was killed
        raise HarnessError("; ".join(failed))
    removed += JOURNAL not in kept and (run / JOURNAL).exists()
    if not kept:
        remove_tree(run)
    return Swept(killed, removed)


def _remove(entry: Path) -> int:
    """Remove a file or a folder; return the number of files."""
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink(missing_ok=True)
        return 1
    count = sum(len(files) for _, _, files in os.walk(entry))
    remove_tree(entry)
    return count


def state_files(run: Path, site: str = "") -> Iterator[Path]:
    """Yield the state files of a run, by which commands find its estate; one that another run wrote over is left out.

    `site`: only those that say that this site serves.
    """
    run = run.resolve()  # as it is in them
    for row in not_undone(run, Undo.STATE):
        path = Path(str(row.facts.get("state", "")))
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and found.get("run") == str(run) and site in ("", found.get("site")):
            yield path
