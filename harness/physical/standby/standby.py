"""A standby as a recovery sees it: its follower is ended, and its data become the server that is promoted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.core.clock import NotYet, wait_until
from harness.core.errors import RestoreFailed
from harness.patience import PATIENCE
from harness.physical.choice import Way
from harness.physical.standby.feed import Feed
from harness.physical.standby.folder import Phase, StandbyFolder, State
from harness.physical.standby.follower import SIGNAL
from harness.repository.wal.reader import WalReader
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.embedded.process_tree import Owner, end_all


@dataclass(frozen=True, slots=True)
class Standby:
    """A standby. `owner`: of its follower and its server; `collect`: is called once they are killed."""

    folder: StandbyFolder
    owner: Owner
    collect: Callable[[], None] = lambda: None

    @property
    def mode(self) -> str:
        """The mode of a restore that promotes it, for the record."""
        return "standby"

    @property
    def backup(self) -> str:
        """The base backup that it was made from. Raises RestoreFailed when its follower said nothing."""
        return self.folder.state().backup

    def take(self, way: Way, reader: WalReader, into: Path, progress: Callable[[int], None]) -> State:
        """End the follower, move the data to `into` with all WAL of the way; return what the follower said last.

        `progress`: is told the bytes of WAL that were lacking. Raises RestoreFailed for a standby that was not fed,
        Unreadable, HarnessError.
        """
        if alarm := self.folder.alarm:
            raise RestoreFailed(alarm)
        self.folder.ask_to_end()
        wait_until(self._ended, patience=PATIENCE.standby_end, what="the standby ends")
        state = self.folder.state()
        if state.phase != Phase.ENDED:
            raise RestoreFailed(f"it is not ready: {state}")
        if (state.backup, state.timeline) != (way.name, way.timeline):
            raise RestoreFailed(
                f"it was made from base backup {state.backup} on timeline {state.timeline}; "
                f"base backup {way.name} on timeline {way.timeline} is to be restored"
            )
        self.folder.data.rename(into)
        (into / SIGNAL).unlink()
        at = state.placed
        for placed in Feed(reader, into).place(way, state.placed):
            progress(placed - at)
            at = placed
        return state

    def end(self) -> None:
        """SIGKILL its follower and its server, and remove its data. Raises TookTooLong, HarnessError."""
        end_all((), self.owner)
        self.collect()
        remove_tree(self.folder.root)

    def _ended(self) -> None:
        if self.folder.followed:
            raise NotYet("its follower still runs")
