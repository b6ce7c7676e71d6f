"""Warm standby of a drill: a follower beside DR, which makes a copy of the primary's server and feeds it WAL."""

from pathlib import Path

from harness.core.clock import NotYet, wait_until
from harness.core.errors import RestoreFailed
from harness.core.journal import Journal
from harness.core.service import Sql
from harness.core.wal import show_lsn
from harness.drill.archiving import spawn_beside
from harness.estate.config import Config
from harness.estate.state_file import StateFile
from harness.patience import PATIENCE
from harness.physical.standby.folder import NAME, Phase, StandbyFolder
from harness.physical.standby.process import owner_of
from harness.physical.standby.standby import Standby
from harness.postgres.server import ask_row

FLUSHED = "SELECT (pg_catalog.pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint"


def start_standby(config: Config, state: StateFile, logs: Path, journal: Journal) -> Standby:
    """Start the follower; the standby is made once there is a base backup. Raises HarnessError."""
    run = Path(state.run)
    owner, folder = owner_of(run), StandbyFolder(run / NAME)
    folder.make()
    child = spawn_beside(config, state, logs, "harness.physical.standby.process", owner)
    journal.mark("following", "dr site", standby=str(folder.root))
    return Standby(folder, owner, child.collect)


def await_standby(standby: Standby, primary: Sql, journal: Journal) -> None:
    """Return once the standby has applied all that the primary has written by now. Raises TookTooLong, HarnessError."""
    written = int(ask_row(primary, FLUSHED)[0])

    def applied() -> None:
        try:
            state = standby.folder.state()
        except RestoreFailed as error:
            raise NotYet(str(error)) from None
        if state.phase != Phase.FOLLOWING or state.replayed < written:
            raise NotYet(f"the standby {state}; the primary has written up to {show_lsn(written)}")

    wait_until(applied, patience=PATIENCE.standby_made, every=0.2, what="the standby follows the primary")
    journal.mark("applied", "standby", position=show_lsn(written), backup=standby.folder.state().backup)
