"""Follower: makes a standby from the newest base backup, and feeds it the WAL that the repository gets.

A standby whose server ends, or that can be fed no more, is made anew. The repository may be out of reach meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from harness.core.clock import SYSTEM, NotYet
from harness.core.errors import REPORTED, HarnessError, NoValidBackup, RestoreFailed, Unreadable, reason_of
from harness.core.journal import Journal
from harness.core.wal import show_lsn
from harness.patience import PATIENCE
from harness.physical.choice import END, Way, way_from, ways
from harness.physical.installation.lacking import TEMPLATE, lacking
from harness.physical.installation.offered import Here
from harness.physical.private_server import Running, raising_limits, running_server
from harness.physical.programs import Programs, programs_of
from harness.physical.restore import fill
from harness.physical.standby.feed import Feed
from harness.physical.standby.folder import Phase, StandbyFolder, State
from harness.physical.unpack import made, require_room, set_aside
from harness.repository.catalogue import Repository
from harness.repository.committed import CommittedBackup, newest_system
from harness.repository.wal.catalogue import KnownLists, read_wal
from harness.repository.wal.reader import WalReader
from harness.substrate.common.filesystem import remove_tree

SIGNAL = "standby.signal"
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a standby is made again
TICK = 0.1  # seconds after which the request to end is noticed
LOOKED = 60.0  # seconds after which the backups are looked at again
REPEATED = 5  # readings that fail in a row before it is said: a segment may be replaced while it is read
LARGEST_LOG = 1 << 20  # bytes
SETTINGS = {"wal_retrieve_retry_interval": "200ms", "wal_recycle": "off"}


class Outdated(RestoreFailed):
    """The standby is followed no more: another one, from a newer base backup, has to take its place."""


@dataclass(slots=True)
class Follower:
    """Follows until it is asked to end. `every`: seconds between two looks at the repository.

    `sockets`: an empty folder of its own with a short path; `tags`: variables by which its processes are found.
    """

    repository: Repository
    private_pem: bytes = field(repr=False)
    folder: StandbyFolder
    sockets: Path
    journal: Journal
    every: float = 1.0
    tags: Mapping[str, str] = field(default_factory=dict)
    state: State = field(default_factory=lambda: State(Phase.WAITING))
    stop: Event = field(default_factory=Event)
    _lists: KnownLists = field(default_factory=dict)
    _failed: int = 0
    _backups_at: float = 0.0

    def run(self) -> None:
        """Follow until it is asked to end, or `stop` is set. Raises HarnessError where another one follows."""
        self.folder.make()
        if (lock := self.folder.lock()) is None:
            raise HarnessError(f"{self.folder.root}: another follower works there; end it first")
        with lock:
            attempts = 0
            while not self._ends():
                try:
                    self._follow(self._made())
                    attempts = 0
                except NoValidBackup as error:
                    self._say(phase=Phase.WAITING, reason=reason_of(error))
                    self._pause(self.every)
                except Outdated as error:
                    self.journal.mark("made anew", "standby", reason=reason_of(error))
                except REPORTED as error:
                    attempts += 1
                    self.journal.mark("log", "standby failed", error=reason_of(error), attempt=attempts)
                    self._say(phase=Phase.FAILED, reason=reason_of(error))
                    self._pause(PAUSES[min(attempts, len(PAUSES)) - 1])
            if self.state.phase == Phase.FOLLOWING:
                self._say(phase=Phase.ENDED)

    def _made(self) -> Way:
        """Make the standby, from the newest base backup that is authentic. Raises NoValidBackup, RestoreFailed."""
        entries = self.repository.catalogue().entries
        wal = read_wal(self.repository, newest_system(entries), self._lists)
        way = next(ways(self.repository, entries, wal, self.private_pem, END))
        if way.facts.tablespaces:
            raise RestoreFailed("tablespaces are not restored onto a DR site; a standby cannot have them")
        self.state = State(Phase.MAKING)
        self._say(backup=way.name, timeline=way.timeline, shipped=way.end)
        remove_tree(self.folder.data)
        require_room(self.folder.data, way.size())
        if own := lacking(way.facts.needs, Here(self._programs(way)), TEMPLATE).own:
            raise RestoreFailed("; ".join(own))
        with made(self.folder.data):
            reader = WalReader(self.repository, self.private_pem)
            # A tail may be replaced while it is read: it is placed when the server runs.
            lasting = replace(way, files=tuple(one for one in way.files if not one.listed.tail))
            fill(lasting, reader, self.folder.data, self._programs(way), self.journal, None)
        set_aside(self.folder.data)
        (self.folder.data / SIGNAL).touch(mode=0o600)
        self._say(placed=max((one.entry.end for one in lasting.files), default=0))
        self.journal.mark("made", "standby", backup=way.name, end=show_lsn(way.end))
        return way

    def _follow(self, way: Way) -> None:
        """Run the server of the standby and feed it, until it is asked to end. Raises Outdated, RestoreFailed."""
        programs = self._programs(way)
        raising_limits(programs, self.folder.data, lambda limits: self._feed(way, programs, limits))

    def _feed(self, way: Way, programs: Programs, limits: Mapping[str, str]) -> None:
        settings = {**limits, **SETTINGS, "recovery_target_timeline": str(way.timeline)}
        feed = Feed(WalReader(self.repository, self.private_pem), self.folder.data)
        with running_server(programs, self.folder.data, self.sockets, settings) as process:
            server, answered = Running(process, self.sockets, way.facts.superuser), SYSTEM.monotonic()
            while not self._ends():
                self._try_to_look(way, feed)
                try:
                    found = server.standing()
                except NotYet as error:  # it begins, and is not consistent yet
                    if SYSTEM.monotonic() - answered > PATIENCE.restore_database:
                        raise RestoreFailed(f"the server of the standby does not answer: {error}") from error
                else:
                    answered = SYSTEM.monotonic()
                    self._say(phase=Phase.FOLLOWING, replayed=found.position)
                self._pause(self.every)

    def _try_to_look(self, way: Way, feed: Feed) -> None:
        """Place what is new; a failure that lasts is said. Raises Outdated."""
        try:
            self._look(way, feed)
        except (Unreadable, HarnessError) as error:
            self._failed += 1
            if self._failed == REPEATED:
                self.journal.mark("log", "standby is not fed", error=reason_of(error))
                self._say(reason=reason_of(error))

    def _look(self, way: Way, feed: Feed) -> None:
        """Place what is new in the repository. Raises Outdated, Unreadable, HarnessError."""
        due = SYSTEM.monotonic() - self._backups_at >= LOOKED
        entries = self.repository.catalogue().entries if due else ()  # before the WAL: a base backup needs that
        wal = read_wal(self.repository, way.backup.manifest.cluster, self._lists)
        try:
            now = way_from(way.backup, wal)
        except Unreadable as error:
            raise Outdated(reason_of(error)) from error
        if now.timeline != way.timeline:
            raise Outdated(f"the primary is on timeline {now.timeline}, the standby on {way.timeline}")
        if due:
            _require_newest(now, entries)
            self._backups_at = SYSTEM.monotonic()
        for placed in feed.place(now, self.state.placed):
            self.state = replace(self.state, placed=placed)
        self._failed = 0
        self._say(shipped=now.end, looked_at=SYSTEM.monotonic(), reason="")
        log = self.sockets / "log"
        if log.stat().st_size > LARGEST_LOG:
            log.write_bytes(b"")

    def _say(self, **changed: object) -> None:
        self.state = replace(self.state, **changed)  # type: ignore[arg-type]
        self.folder.say(self.state)

    def _ends(self) -> bool:
        return self.stop.is_set() or self.folder.asked_to_end

    def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the request to end."""
        for _ in range(round(seconds / TICK)):
            if self._ends() or self.stop.wait(TICK):
                return

    def _programs(self, way: Way) -> Programs:
        return programs_of(way.backup.manifest.contents.system.major, self.tags)


def _require_newest(way: Way, entries: Sequence[CommittedBackup]) -> None:
    """Raise Outdated when the base backup is listed no more, or a newer one begins beyond the end of its WAL."""
    if way.name not in {entry.backup_id for entry in entries}:
        raise Outdated(f"base backup {way.name} is not in the repository any more")
    for entry in entries:
        base = entry.commit.base if entry.commit is not None else None
        if base is not None and entry.system == way.backup.manifest.cluster and base.start > way.end:
            raise Outdated(f"its WAL ends at {show_lsn(way.end)}, and base backup {entry.backup_id} is beyond that")
