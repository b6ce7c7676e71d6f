"""Continuous archive of a drill's primary: a receiver of WAL beside the Backup Orchestrator, lost with the primary."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.journal import Journal
from harness.core.service import Sql
from harness.estate.config import Config
from harness.estate.saved_config import saved
from harness.estate.state_file import StateFile
from harness.parts.places import CODE
from harness.patience import PATIENCE
from harness.postgres.server import ask_row
from harness.substrate.common.filesystem import make_folder, write_files
from harness.substrate.common.logs import last_lines
from harness.substrate.embedded.process_tree import Owner
from harness.substrate.embedded.spawn import Child, spawn
from harness.substrate.embedded.undo_journal import UndoJournal

NAME = "wal-receiver"
FOLDER = "beside"  # in a run folder: what the processes of the harness beside the sites are given
RECEIVING = "SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE slot_type = 'physical' AND active"


@dataclass(frozen=True, slots=True)
class Archiving:
    """A running receiver. It is a process of this machine on every substrate, as the Backup Orchestrator is."""

    child: Child
    journal: Journal

    def lose(self) -> None:
        """SIGKILL it: WAL that it has and has not shipped is lost with the primary. Raises TookTooLong."""
        if self.child.alive:
            self.child.end()
            self.journal.mark("killed", NAME, why="it is lost with the primary")


def spawn_beside(config: Config, state: StateFile, logs: Path, module: str, owner: Owner) -> Child:
    """Start a module of the harness that works for a running estate, in a process of its own. Raises HarnessError.

    It is told where declaration and state file are, and the file for its journal; its log is named as its owner.
    """
    name = owner.name.rpartition("/")[2]
    home, log = make_folder(owner.run / FOLDER / name), make_folder(logs) / f"{name}.log"
    files = {"estate.json": saved(config).decode(), "state.json": state.text}
    write_files(home, files)
    words = (*(str(home / file) for file in files), str(logs / f"{name}.jsonl"))
    env = {**os.environ, "PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(CODE)}
    return spawn((sys.executable, "-m", module, *words), env, home, UndoJournal(owner.run), owner, log)


def start_archiving(config: Config, state: StateFile, sql: Sql, logs: Path, journal: Journal) -> Archiving:
    """Start the receiver of the live site; return once it receives. Raises HarnessError with its last lines."""
    owner = Owner(Path(state.run), f"{state.site}/{NAME}")
    child = spawn_beside(config, state, logs, "harness.physical.continuous", owner)

    def receiving() -> None:
        if not child.alive:
            raise HarnessError(f"{NAME}: ended: {last_lines(logs / f'{NAME}.log')}")
        if not ask_row(sql, RECEIVING)[0]:
            raise NotYet("no replication slot is used")

    try:
        wait_until(receiving, patience=PATIENCE.wal_receiver, what=f"{NAME}: receiving")
    except BaseException:
        child.end()
        raise
    journal.mark("archiving", f"{state.site} site", receiver=NAME, ships_within_seconds=config.backup.wal_seconds)
    return Archiving(child, journal)
