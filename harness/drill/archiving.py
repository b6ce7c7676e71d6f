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
FOLDER = "archiving"  # in a run folder
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


def start_archiving(config: Config, state: StateFile, sql: Sql, logs: Path, journal: Journal) -> Archiving:
    """Start the receiver of a running primary; return once it receives. Raises HarnessError with its last lines."""
    run = Path(state.run)
    home, log = make_folder(run / FOLDER), make_folder(logs) / f"{NAME}.log"
    files = {"estate.json": saved(config).decode(), "state.json": state.text}
    write_files(home, files)
    words = (*(str(home / name) for name in files), str(logs / f"{NAME}.jsonl"))
    env = {**os.environ, "PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(CODE)}
    argv = (sys.executable, "-m", "harness.physical.continuous", *words)
    owner = Owner(run, f"primary/{NAME}")
    child = spawn(argv, env, home, UndoJournal(run), owner, log)

    def receiving() -> None:
        if not child.alive:
            raise HarnessError(f"{NAME}: ended: {last_lines(log)}")
        if not ask_row(sql, RECEIVING)[0]:
            raise NotYet("no replication slot is used")

    try:
        wait_until(receiving, patience=PATIENCE.wal_receiver, what=f"{NAME}: receiving")
    except BaseException:
        child.end()
        raise
    journal.mark("archiving", "primary site", receiver=NAME, ships_within_seconds=config.backup.wal_seconds)
    return Archiving(child, journal)
