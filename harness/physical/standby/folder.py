"""Folder of a standby: its data, what its follower says of it, and the request to end."""

import fcntl
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from harness.core.clock import SYSTEM
from harness.core.errors import RestoreFailed
from harness.core.wal import show_lsn
from harness.substrate.common.filesystem import make_folder, write_files

NAME = "standby"  # folder in a run folder
STALE = 60.0  # seconds without a look at the repository after which a standby is not trusted to be fed
LARGEST = 1 << 16  # bytes of the state


class Phase(StrEnum):
    """What a follower does."""

    WAITING = "waits for a base backup"
    MAKING = "is made from a base backup"
    FOLLOWING = "follows the WAL"
    FAILED = "failed, and is made anew"
    ENDED = "ended as it was asked to"


@dataclass(frozen=True, slots=True)
class State:
    """What a follower says. `backup`: the base backup that the standby was made from; `reason`: of the newest failure.

    `placed`: up to which position the standby has WAL; `replayed`: up to which it is applied; `shipped`: up to which
    there is WAL in the repository. `looked_at`: monotonic time of the last reading.
    """

    phase: Phase
    backup: str = ""
    timeline: int = 0
    placed: int = 0
    replayed: int = 0
    shipped: int = 0
    looked_at: float = 0.0
    reason: str = ""

    @property
    def behind(self) -> int:
        """The bytes of WAL in the repository that are not applied yet, as far as the follower knows."""
        return max(0, self.shipped - self.replayed)

    def __str__(self) -> str:
        said = f": {self.reason}" if self.reason else ""
        if self.phase in (Phase.FOLLOWING, Phase.ENDED):
            return f"{self.phase}, applied up to {show_lsn(self.replayed)}, {self.behind} bytes behind{said}"
        return f"{self.phase}{said}"


@dataclass(frozen=True, slots=True)
class StandbyFolder:
    """The folder of one standby. `root` is made by `make`."""

    root: Path

    @property
    def data(self) -> Path:
        """The data folder of its server."""
        return self.root / "data"

    def make(self) -> None:
        """Make it. Raises OSError."""
        make_folder(self.root)

    def say(self, state: State) -> None:
        """Write what the follower does; a reader never has half of it. Raises OSError."""
        half = self.root / ".state.json"
        write_files(self.root, {half.name: json.dumps(asdict(state))})
        half.replace(self.root / "state.json")

    def state(self) -> State:
        """Return what the follower said last. Raises RestoreFailed when it said nothing."""
        path = self.root / "state.json"
        try:
            with path.open(encoding="utf-8") as file:
                found = json.loads(file.read(LARGEST))
            return State(**{**found, "phase": Phase(found["phase"])})
        except FileNotFoundError:
            raise RestoreFailed("its follower has not begun") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RestoreFailed(f"{path}: not the state of a standby ({error})") from None

    def ask_to_end(self) -> None:
        """Ask the follower to end, and to leave the data as a server that was shut down does. Raises OSError."""
        (self.root / "end").touch(mode=0o600)

    @property
    def asked_to_end(self) -> bool:
        """Whether the follower was asked to end."""
        return (self.root / "end").exists()

    def lock(self) -> IO[bytes] | None:
        """Return the open lock of the follower, whose close frees it; None while another process has it."""
        file = (self.root / "lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    @property
    def followed(self) -> bool:
        """Whether a follower runs, frozen or not."""
        if not self.root.is_dir():
            return False
        if (lock := self.lock()) is None:
            return True
        lock.close()
        return False

    @property
    def alarm(self) -> str:
        """Why a recovery would not promote the standby now, "" where it would."""
        try:
            state = self.state()
        except RestoreFailed as error:
            return str(error)
        if not self.followed:
            return f"its follower does not run; it said last: {state}"
        if state.phase != Phase.FOLLOWING:
            return f"it is not ready: {state}"
        if (ago := SYSTEM.monotonic() - state.looked_at) > STALE:
            return f"it looked at the repository {ago:.0f} s ago: {state}"
        return ""
