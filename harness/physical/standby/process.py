"""Follower of the standby of an estate, in a process of its own: `python -m harness.physical.standby.process`.

It reads the repository with the keys of the DR site, and writes nothing there.
"""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir

from harness.estate.saved_config import read_saved
from harness.estate.secrets import PRIVATE_KEY, Secrets
from harness.estate.state_file import connect, read_state
from harness.evidence.journal import JournalFile
from harness.physical.standby.folder import NAME, StandbyFolder
from harness.physical.standby.follower import Follower
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.embedded.process_tree import Owner
from harness.substrate.embedded.undo_journal import UndoJournal
from harness.vault import read_secret


def owner_of(run: Path) -> Owner:
    """Return the owner of the processes of a run's standby."""
    return Owner(run, f"dr/{NAME}")


def main(declared: str, state: str, journal: str) -> None:
    """Follow for the estate of a state file. `declared`: file of `saved_config`; `journal`: a new file."""
    config, found = read_saved(Path(declared).read_bytes()), read_state(Path(state), "start the estate")
    run, secrets = Path(found.run), Secrets(Path(found.secrets)).of("dr")
    connections = connect(config, found)
    connections = replace(connections, offsite=replace(connections.offsite, read_only=True))
    undo, sockets = UndoJournal(run), Path(gettempdir(), f"blackstart-{token_hex(6)}")
    undo.note_file(sockets)  # outside the run folder, whose path is too long for the name of a socket
    sockets.mkdir(mode=0o700)
    follower = Follower(
        connections.repository,
        read_secret(secrets[PRIVATE_KEY]),
        StandbyFolder(run / NAME),
        sockets,
        JournalFile(Path(journal)),
        every=min(max(config.backup.wal_seconds, 0.5), 10.0),
        tags=owner_of(run).tags,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: follower.stop.set())
    try:
        follower.run()
    finally:
        remove_tree(sockets)
        undo.file_gone(sockets)


if __name__ == "__main__":
    main(*sys.argv[1:])
