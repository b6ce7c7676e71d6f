"""Rewound server of an old primary that was not lost for good: it follows DR, and takes over from it at a failback.

Of the old site its data folder alone is kept. Beside the rebuilt primary it is what a warm standby is beside DR.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.clock import NotYet, wait_until
from harness.core.errors import RestoreFailed
from harness.core.journal import Journal
from harness.core.service import Sql
from harness.core.wal import show_lsn
from harness.drill.warm import FLUSHED
from harness.estate.site import DATA
from harness.patience import PATIENCE
from harness.physical.choice import Way
from harness.physical.place import private_place
from harness.physical.private_server import Running, running_server
from harness.physical.programs import Programs
from harness.physical.standby.folder import Phase, State
from harness.physical.standby.follower import SETTINGS, SIGNAL
from harness.physical.standby.rewind import conninfo
from harness.postgres.server import ask_row
from harness.repository.wal.reader import WalReader
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.embedded.process_tree import Owner, end_all

NAME = "returned"  # folder in a run folder
PASSWORDS = "pgpass"  # in it: with what the server streams from DR


@dataclass(slots=True)
class Returned:
    """The server. `root`: its folder; `dr`: the server that it follows; `owner`: of its processes.

    `cut_off`: ends DR's database server, so that it takes no more writes.
    """

    root: Path
    programs: Programs
    dr: Sql
    owner: Owner
    journal: Journal
    cut_off: Callable[[], None]
    running: Running | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.root / DATA

    @property
    def mode(self) -> str:
        """The mode of a restore that promotes it, for the record."""
        return "rewound"

    @property
    def backup(self) -> str:
        """The base backup that it was made from: "", for it was made from none."""
        return ""

    def start(self) -> None:
        """Start it; return once it has applied all that DR has written by now. Raises RestoreFailed, TookTooLong."""
        place = self._open.enter_context(private_place(self.owner.tags))
        settings = {**SETTINGS, "primary_conninfo": conninfo(self.dr, self.root / PASSWORDS)}
        settings |= {"recovery_target_timeline": "latest"}
        process = self._open.enter_context(running_server(self.programs, self.data, place, settings))
        self.running = Running(process, place, self.dr.user)
        at = self._await_applied()
        self.journal.mark("applied", "rewound server", position=show_lsn(at), follows=str(self.dr))

    def take(self, way: Way, _reader: WalReader, into: Path, progress: Callable[[int], None]) -> State:
        """Wait for the last write of DR, fence DR's database server, and move the data to `into`; return the state.

        `progress`: is told nothing, for no WAL is fetched. Raises RestoreFailed, TookTooLong, HarnessError.
        """
        at = self._await_applied()
        self.cut_off()
        self._open.close()
        self.running = None
        self.data.rename(into)
        (into / SIGNAL).unlink()
        progress(0)
        return State(Phase.ENDED, self.backup, way.timeline, placed=at, replayed=at, shipped=at)

    def end(self) -> None:
        """SIGKILL it, and remove its data. Raises TookTooLong, HarnessError."""
        end_all((), self.owner)
        with suppress(RestoreFailed):  # it did not stop cleanly
            self._open.close()
        self.running = None
        remove_tree(self.root)

    def _await_applied(self) -> int:
        """Return the position that DR has written up to by now, once all before it is applied."""
        running, written = self.running, int(ask_row(self.dr, FLUSHED)[0])
        if running is None:
            raise RestoreFailed("the rewound server does not run")

        def applied() -> None:
            if (found := running.standing()).position < written:
                raise NotYet(f"applied up to {show_lsn(found.position)}, DR has written up to {show_lsn(written)}")

        wait_until(applied, patience=PATIENCE.standby_made, every=0.2, what="the rewound server follows DR")
        return written
