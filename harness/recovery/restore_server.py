"""Restore of the whole database server from a base backup and its WAL, in place of dumps: messages 2.3 to 2.4.2."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.core.contents import Contents, DatabaseFacts
from harness.core.errors import REPORTED, HarnessError, RestoreFailed, reason_of
from harness.core.journal import Journal
from harness.core.judged import FINDING
from harness.core.node import Volume
from harness.core.parallel import in_parallel
from harness.core.service import Contained, Place
from harness.core.wal import show_lsn
from harness.estate.site import DATA, OWN_FILES, OWN_SETTINGS
from harness.physical.choice import END, Way
from harness.physical.installation.collations import other_collations
from harness.physical.private_server import Connect
from harness.physical.programs import Programs, programs_of
from harness.physical.restore import fill, replay_way
from harness.physical.server import Replayed
from harness.physical.standby.folder import State
from harness.physical.unpack import made, require_room, set_aside
from harness.postgres.contents.undumped import prepared, prepared_gaps
from harness.postgres.identity import catalogue, holds_user_data, system_facts
from harness.postgres.restoring import quiet
from harness.postgres.server import connect
from harness.recovery.choose_server import ServerChoice, Standby
from harness.recovery.read_server import Read, compared, read_database
from harness.recovery.restorable import require_restorable
from harness.recovery.take_over import room_for, take_over
from harness.repository.catalogue import Repository
from harness.repository.wal.reader import WalReader
from harness.substrate.common.filesystem import make_folder, remove_tree, write_to_disk
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.embedded.process_tree import Owner

SCRATCH = "restored-server"  # folder in a run folder


@runtime_checkable
class Unpackable(Protocol):
    """A volume into which a folder of this machine can be copied at once."""

    def unpack(self, source: Path) -> None:
        """Copy what is in a folder of this machine into it, with modes. Raises HarnessError."""


@dataclass(slots=True)
class ServerRestore:
    """Restores one server. `replace`: changes what the volume of DR's server has while that is down.

    `scratch`: a folder of this machine that a sweep of `run` removes; `way`: the base backup that was restored;
    `standby`: is promoted where it can be, a base backup is restored otherwise, which is a finding.
    """

    place: Place
    choice: ServerChoice
    repository: Repository
    private_pem: str = field(repr=False)
    dumps: Contents
    replace: Callable[[Callable[[Volume], None]], None]
    run: Path
    journal: Journal
    parallel: int
    standby: Standby | None = None
    followed: State | None = None  # what the follower of the standby said last, None where none is promoted
    way: Way | None = None
    done: Replayed | None = None
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held: tuple[Contained, ...] = ()
    _disabled: tuple[quiet.Held, ...] = ()  # what a server does by itself once it is started
    _progress: Callable[[int], None] = lambda _count: None

    @property
    def scratch(self) -> Path:
        """The folder that becomes the volume of DR's server."""
        return self.run / SCRATCH

    def open(self, progress: Callable[[int], None]) -> None:
        """2.4.1: decrypt and decompress the newest base backup that is authentic, and its WAL. Raises RestoreFailed.

        A standby has the base backup and most of the WAL already.
        """
        self._progress = progress
        if self.standby is not None:
            try:
                self._take(self.standby)
            except REPORTED as error:
                self._give_up(error)
            else:
                return
        self._open_backup()

    def _open_backup(self) -> None:
        for way in self.choice.ways:
            try:
                self.way = self._unpack(way)
            except REPORTED as error:
                self._find(f"base backup {way.name} is passed over: {reason_of(error)}")
                continue
            for line in self.way.lost:
                self._find(line)
            return
        raise RestoreFailed("no base backup can be restored")

    def execute(self) -> None:
        """2.4.2: replay the WAL to its end, promote, verify pages, and start DR's server on it. Raises as `open`."""
        try:
            self._promote()
        except REPORTED as error:
            if self.followed is None:
                raise
            self._give_up(error)
            self.clear()
            self._open_backup()
            self._promote()

    def _promote(self) -> None:
        way = self.way
        if way is None:
            raise RestoreFailed("no base backup is unpacked")
        folder, programs = self.scratch / DATA, self._programs(way)
        set_aside(folder)
        self.done = replay_way(way, END, folder, programs, self.journal, self._take_over)
        if way.facts.checksums:
            programs.run("pg_checksums", "--check", "-D", str(folder))
            self.journal.mark("verified", "restored server", by="pg_checksums")
        room = room_for(programs, folder, self.place.sql)
        self.replace(partial(self._place, room))
        self.wipe()
        here = system_facts(self.place.sql)
        if here.identifier != way.backup.manifest.cluster or here.timeline <= way.timeline:
            raise RestoreFailed(
                f"DR's server is system {here.identifier} on timeline {here.timeline}; the restored one is system "
                f"{way.backup.manifest.cluster} on a timeline after {way.timeline}"
            )

    def wipe(self) -> None:
        """Remove the plaintext outside DR's volume, and end the standby. Raises HarnessError."""
        if self.standby is not None:
            self.standby.end()
        remove_tree(self.scratch)

    def clear(self) -> None:
        """Give DR a new, empty server, after a restore that failed. Raises HarnessError."""
        self.wipe()
        self.replace(lambda volume: volume.remove(DATA))

    def check(self) -> tuple[DatabaseFacts, ...]:
        """Hold what acts on the outside, read every database whole, and return its facts. Raises RestoreFailed."""
        sql, dumped = self.place.sql, {one.name for one in self.dumps.databases}
        names = [
            one.name
            for one in catalogue(sql)
            if one.connectable and one.valid and (one.name in dumped or holds_user_data(sql, one.name))
        ]
        held = in_parallel({name: partial(quiet.hold, sql, name) for name in names}, limit=self.parallel)
        self.held = quiet.contained([*(one for found in held.values() for one in found), *self._disabled])
        found = in_parallel({name: partial(read_database, sql, name) for name in names}, limit=self.parallel)
        if self.way is not None:
            for line in other_collations(partial(connect, sql), self.way.facts.needs):
                self._find(line)
        self._note_state(found.values())
        for what, which in prepared_gaps(prepared(sql)):
            self._note(f"{what} are open as on the primary, with their locks: {which}; commit them or roll them back")
        return tuple(one.facts for one in found.values())

    @property
    def point(self) -> str:
        """The point in time of the restored server, "" before it is restored."""
        return f"WAL up to {show_lsn(self.done.position)}" if self.done is not None else ""

    @property
    def left(self) -> int:
        """The timeline of the primary, which the restored server has left; 0 before it is restored."""
        return self.way.timeline if self.way is not None else 0

    @property
    def source(self) -> Mapping[str, str | float]:
        """Facts of what was restored, for the record."""
        if self.way is None or self.done is None:
            return {}
        last, covered = self.done.last_commit, self.way.covered_until
        return {
            "mode": self.standby.mode if self.standby and self.followed else "physical",
            "base_backup": self.way.name,
            "wal_end": show_lsn(self.way.end),
            "wal_covers_until": covered.isoformat(timespec="milliseconds") if covered else "not known",
            "replayed_to": show_lsn(self.done.position),
            "last_transaction": last.isoformat(timespec="milliseconds") if last else "before the base backup",
            **self._lag,
        }

    @property
    def _lag(self) -> Mapping[str, str | float]:
        """How far the standby was when its follower was ended."""
        if self.followed is None or self.way is None:
            return {}
        behind = max(0, self.way.end - self.followed.replayed)
        return {"standby_replayed_to": show_lsn(self.followed.replayed), "standby_behind_bytes": behind}

    def _take(self, standby: Standby) -> None:
        """Take over the data of the standby, with all WAL. Raises RestoreFailed, Unreadable, HarnessError, OSError."""
        way = self.choice.standby
        if isinstance(way, str):
            raise RestoreFailed(way)
        self._require(way)
        remove_tree(self.scratch)
        folder = make_folder(self.scratch) / DATA
        self.followed = standby.take(way, WalReader(self.repository, self.private_pem.encode()), folder, self._progress)
        self.way = way
        self.journal.mark("taken over", standby.mode, was=str(self.followed), end=show_lsn(way.end))

    def _give_up(self, error: BaseException) -> None:
        """Note why the standby is not used, and remove it."""
        self.followed = self.way = self.done = None
        self.wipe()
        self._find(f"the standby is not used, a base backup is restored: {reason_of(error)}")

    def _unpack(self, way: Way) -> Way:
        """Unpack a base backup and its WAL; return the way that is left of it. Raises RestoreFailed, HarnessError."""
        remove_tree(self.scratch)
        folder = make_folder(self.scratch) / DATA
        self._require(way, lambda: require_room(folder, way.size()))
        reader, programs = WalReader(self.repository, self.private_pem.encode()), self._programs(way)
        with made(folder):
            left = fill(way, reader, folder, programs, self.journal, self._progress)
            if left.lost and left.facts.stopped_at < self.dumps.snapshot_at:
                raise RestoreFailed(f"{left.lost[-1]}; what is left may end before the dumps")
        return left

    def _require(self, way: Way, *checks: Callable[[], object]) -> None:
        """Raise UsageError with all that keeps a base backup from DR. A library that DR lacks is a finding."""
        for line in require_restorable(way, partial(self._programs, way), self.place.sql, *checks):
            self._find(line)

    def _programs(self, way: Way) -> Programs:
        return programs_of(way.backup.manifest.contents.system.major, Owner(self.run, "dr/replay").tags)

    def _take_over(self, connect: Connect) -> None:
        self._disabled = take_over(connect, self.place.sql)

    def _place(self, more: str, volume: Volume) -> None:
        """Put the restored data folder into DR's volume, with the settings that DR's own server had, and `more`."""
        folder = self.scratch / DATA
        for name in OWN_FILES:
            with volume.open(f"{DATA}/{name}", "rb") as source:
                (folder / name).write_bytes(source.read() + (more.encode() if name == OWN_SETTINGS else b""))
        if not isinstance(volume, Unpackable):
            raise HarnessError(f"{self.place.site.name}: no data folder can be put into its volume")
        volume.remove(DATA)
        if isinstance(volume, FolderVolume):
            volume.adopt(self.scratch)
            write_to_disk(volume.root / DATA)  # as durable as what a server has written
        else:
            volume.unpack(self.scratch)

    def _note_state(self, found: Collection[Read]) -> None:
        """Note what was restored, and what is the same as in the dumps, which are older."""
        if self.way is None or self.done is None:
            return
        end = f"WAL up to {show_lsn(self.done.position)} on timeline {self.way.timeline}"
        copy = f"base backup {self.way.name}"
        if self.followed is not None:
            made = self.followed.backup
            copy = f"the standby, made from base backup {made}," if made else "the rewound server of the old primary"
        self._note(f"databases are from {copy} and {end}, not from the dumps")
        for line in compared(found, self.dumps):
            self._note(line)

    def _note(self, line: str) -> None:
        self.notes = (*self.notes, line)
        self.journal.mark("log", "restore", note=line)

    def _find(self, line: str) -> None:
        self.findings = (*self.findings, line)
        self.journal.mark(FINDING, "restore", reason=line)
