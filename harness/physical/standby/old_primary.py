"""An old primary and the server that was promoted in its place, and what hinders that it follows that one."""

import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import MissingPart, Refused, RestoreFailed, Unreadable, UsageError
from harness.core.service import Sql
from harness.core.wal import Switch, fork_of, read_history, read_lsn, show_lsn
from harness.physical.place import private_place
from harness.physical.private_server import SEGMENT, control_of
from harness.physical.programs import Programs, programs_of
from harness.physical.standby.aside import Aside, mounted_in
from harness.physical.standby.diverged import Diverged, Other, diverged, end_of, parted
from harness.physical.standby.follower import SIGNAL
from harness.physical.standby.shelf import Shelf, Source
from harness.physical.unpack import SPACES, VERSION
from harness.postgres.replication.connection import Identity, Replication
from harness.postgres.replication.stream import timeline_history
from harness.postgres.server import ask_row

NEEDED = ("pg_rewind", "pg_waldump")
SERVERS = ("postgres", "postmaster")  # names of their processes
ASK = """
SELECT pg_catalog.pg_is_in_recovery(),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_tablespace
        WHERE spcname NOT IN ('pg_default', 'pg_global'))::int
"""
READ = "SELECT pg_catalog.pg_read_binary_file('pg_wal/' || %s::text, %s::bigint, %s::bigint, true)"
# A server starts on no data folder in which others may write. Without the right to enter it they cannot.
BAR = stat.S_IWOTH
ANEW = "restore a base backup of the promoted server in its place"


@dataclass(frozen=True, slots=True)
class OldPrimary:
    """Data folder of a server that does not run. `control`: its control file, by the names of pg_controldata."""

    folder: Path
    programs: Programs
    control: Mapping[str, str]

    @property
    def system(self) -> str:
        """The identifier of its database system."""
        return self.control["Database system identifier"]

    @property
    def aside(self) -> Aside:
        """Where the files that PostgreSQL did not make are while it is rewound."""
        return Aside(self.folder)

    @property
    def no_standby_yet(self) -> bool:
        """Whether pg_rewind has ended, or a base backup was put there, and no server has been told to be a standby."""
        return (self.folder / "backup_label").exists() and not (self.folder / SIGNAL).exists()

    @property
    def timeline(self) -> int:
        """The timeline that it was on."""
        names = ("Latest checkpoint's TimeLineID", "Min recovery ending loc's timeline")
        return max(int(self.control[name]) for name in names)

    @property
    def checkpoint(self) -> int:
        """The position at which its newest checkpoint begins."""
        return read_lsn(self.control["Latest checkpoint location"])

    @property
    def redo(self) -> int:
        """The position from which a server replays after that checkpoint."""
        return read_lsn(self.control["Latest checkpoint's REDO location"])

    @property
    def replayed(self) -> int:
        """The position up to which a standby had applied WAL, 0 for a primary."""
        return read_lsn(self.control["Minimum recovery ending location"])

    @property
    def tablespaces(self) -> tuple[str, ...]:
        """The OIDs of its tablespaces."""
        return tuple(sorted(one.name for one in (self.folder / SPACES).glob("*")))

    @property
    def knows_pages(self) -> bool:
        """Whether its WAL names every page that was changed, without which pg_rewind would miss some."""
        return self.control["Data page checksum version"] != "0" or self.control["wal_log_hints setting"] == "on"


@dataclass(frozen=True, slots=True)
class Promoted:
    """The server that was promoted. `history`: of its timeline."""

    sql: Sql
    major: int
    identity: Identity
    history: tuple[Switch, ...]
    recovering: bool
    tablespaces: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rewind would do. `own`: what it would discard, None where the old primary has nothing of its own.

    `shared`: up to which position its own WAL is whole and the promoted server's too; `unfinished`: whether a rewind of
    it was killed before its end; `followed`: whether it is on the timeline of the promoted server already, by a rewind
    that was not.
    """

    old: OldPrimary
    promoted: Promoted
    shelf: Shelf
    own: Diverged | None
    shared: int = 0
    unfinished: bool = False
    followed: bool = False


def plan_rewind(folder: Path, sql: Sql, source: Source, tags: Mapping[str, str] | None = None) -> Plan:
    """Look at both servers and return what a rewind would do; nothing is changed. `tags`: see `programs_of`.

    `source`: returns the repository and the key that opens it; it is called when WAL is needed that the folder lacks.
    Raises UsageError for a folder that is no data folder, Refused with all obstacles, MissingPart, RestoreFailed where
    WAL is lacking, HarnessError of the server or the store.
    """
    old, promoted = read_old(folder.absolute(), tags), read_promoted(sql)
    if found := obstacles(old, promoted):
        raise Refused("; ".join(found))
    if is_barred(old.folder) and old.aside.noted() is None:
        raise Refused(
            f"{old.folder}: others may write to it, which is how a rewind keeps servers off it until it has ended, and "
            f"nothing of that rewind is in {old.aside.place}; put that folder back if it was moved, else {ANEW}"
        )
    shelf = Shelf(source, old.system, int(old.control[SEGMENT]))
    fork = fork_of(_history(old, shelf), old.timeline, promoted.history, promoted.identity.timeline)
    if fork is None:
        return _of_one_timeline(old, promoted, shelf)
    if fork.timeline != old.timeline:
        raise Refused(f"{old.folder}: was promoted itself, to timeline {old.timeline}, and is no old primary; {ANEW}")
    reached = max(old.replayed, old.checkpoint)
    if old.control["Database cluster state"] == "shut down" and reached < fork.at:
        own = Diverged(fork, fork.at)  # that checkpoint is the last that it wrote
    else:
        with private_place(old.programs.tags) as place:
            own = diverged(old.programs, old.folder, fork, reached, shelf, place)
    if own.end < old.replayed or own.end <= old.checkpoint >= fork.at:
        raise RestoreFailed(
            f"{old.folder}: its WAL can be read up to {show_lsn(own.end)} only, it was at {show_lsn(reached)}; {ANEW}"
        )
    if own.end == fork.at:
        whole = end_of(old.programs, old.folder / "pg_wal", fork.timeline, old.checkpoint)
        return Plan(old, promoted, shelf, None, min(whole, fork.at))
    if mounted := mounted_in(old.folder):
        raise Refused(f"{', '.join(mounted)}: pg_rewind would remove what is mounted into the data folder; unmount it")
    aside = old.aside
    if refusal := aside.refusal(aside.marker(old.system, fork, promoted.identity.timeline)):
        raise Refused(refusal)
    return Plan(old, promoted, shelf, own, unfinished=aside.noted() is not None)


def is_barred(folder: Path) -> bool:
    """Return whether a data folder has the mode by which no server starts on it, until a rewind of it has ended."""
    return bool(stat.S_IMODE(folder.stat().st_mode) & BAR)


def _of_one_timeline(old: OldPrimary, promoted: Promoted, shelf: Shelf) -> Plan:
    """Return what is to do for an old primary on the timeline of the promoted server. Raises Refused."""
    aside, noted, timeline = old.aside, old.aside.noted(), promoted.identity.timeline
    why, forks = "", (*promoted.history, Switch(timeline, 0))
    if noted is not None:
        why = aside.refusal(aside.marker(old.system, noted.fork if noted.fork in forks else forks[-1], timeline))
    if why and old.no_standby_yet:
        raise Refused(why)
    unfinished = noted is not None and not why
    if unfinished or old.no_standby_yet:
        return Plan(old, promoted, shelf, None, unfinished=unfinished)
    end = _same_until(old, promoted, shelf)
    return Plan(old, promoted, shelf, None, end, followed=(old.folder / SIGNAL).exists())


def _same_until(old: OldPrimary, promoted: Promoted, shelf: Shelf) -> int:
    """Return the end of WAL of a server that ran on the timeline of the promoted one, all of which that one has.

    Raises Refused where it was a primary there, RestoreFailed where that cannot be told, HarnessError.
    """
    timeline = promoted.identity.timeline
    start = Switch(timeline, promoted.history[-1].at if promoted.history else 0)
    checkpoint = max(start.at, old.redo)
    end = end_of(old.programs, old.folder / "pg_wal", timeline, checkpoint)
    if end <= checkpoint:  # the record of its own checkpoint is behind that
        raise RestoreFailed(f"{old.folder}: its WAL from {show_lsn(checkpoint)} on cannot be read; {ANEW}")
    kept: dict[str, bytes | None] = {}

    def theirs(name: str, offset: int, length: int) -> bytes | None:
        found: bytes | None = ask_row(promoted.sql, READ, name, offset, length)[0]
        if found is not None:
            return found
        if name not in kept:
            kept.clear()  # a segment may have 1 GB
            kept[name] = shelf.read(name)
        whole = kept[name]
        return None if whole is None else whole[offset : offset + length]

    other = Other(read_lsn(promoted.identity.position), shelf.size, theirs)
    if found := parted(old.programs, old.folder, start, (checkpoint, end), other):
        raise Refused(
            f"{old.folder}: was started as a primary on timeline {timeline}, that of the promoted server, which lacks "
            f"{found}; pg_rewind cannot rewind a server on the same timeline; {ANEW}"
        )
    return end


def read_old(folder: Path, tags: Mapping[str, str] | None = None) -> OldPrimary:
    """Return what the data folder of an old primary says. Raises UsageError, MissingPart, RestoreFailed."""
    try:
        major = int((folder / VERSION).read_text().strip())
        (folder / "global/pg_control").stat()
    except (OSError, ValueError):
        raise UsageError(f"{folder}: no data folder of a database server") from None
    if os.geteuid() == 0 and (owner := folder.stat().st_uid) != 0:
        # As root PostgreSQL's programs do not run; what root runs them as may not read what is another's.
        raise UsageError(f"{folder}: belongs to {_name_of(owner)}, not to root; run this as that user (sudo -u)")
    programs = programs_of(major, tags)
    if lacking := [name for name in NEEDED if not (programs.folder / name).is_file()]:
        raise MissingPart(f"{programs.folder}: {', '.join(lacking)} of PostgreSQL {major} is missing; install it")
    return OldPrimary(folder, programs, control_of(programs, folder))


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def read_promoted(sql: Sql) -> Promoted:
    """Return what the promoted server says. Raises HarnessError."""
    recovering, tablespaces = ask_row(sql, ASK)
    with Replication(sql, "blackstart rewind") as connection:
        identity = connection.identify()
        first = identity.timeline == 1
        history = () if first else read_history(timeline_history(connection, identity.timeline)[1])
        return Promoted(sql, connection.major, identity, history, recovering, tablespaces)


def obstacles(old: OldPrimary, promoted: Promoted) -> Sequence[str]:
    """Return a line for everything that hinders a rewind, whatever the servers have."""
    where, there, found = str(old.folder), f"the server at {promoted.sql}", list[str]()
    if (pid := running_in(old.folder)) is not None:
        found.append(f"{where}: a server runs on it (process {pid}); stop it")
    if old.programs.major != promoted.major:
        found.append(f"{where}: of PostgreSQL {old.programs.major}, {there} of {promoted.major}; {ANEW}")
    if old.system != promoted.identity.system:
        other = promoted.identity.system
        found.append(f"{where}: of database system {old.system}, {there} of {other}: it is no copy of it")
    if promoted.recovering:
        found.append(f"{there} is a standby; promote it first")
    if not old.knows_pages:
        found.append(f"{where}: has neither data checksums nor wal_log_hints, so changed pages would be missed; {ANEW}")
    if old.tablespaces or promoted.tablespaces:
        found.append(f"tablespaces are not rewound ({', '.join(old.tablespaces) or 'of the promoted server'}); {ANEW}")
    return found


def running_in(folder: Path) -> int | None:
    """Return a process of the server that runs on a data folder, None where none does on this machine.

    One in a container has another number in its `postmaster.pid`; each process of a server works in its data folder.
    """
    try:
        noted = abs(int((folder / "postmaster.pid").read_text().split()[0]))
    except (OSError, ValueError, IndexError):
        noted = None
    for process in Path("/proc").iterdir():
        try:
            name = (process / "comm").read_text().strip()
            if (name in SERVERS or process.name == str(noted)) and (process / "cwd").samefile(folder):
                return int(process.name)
        except PermissionError:  # of another user
            if process.name == str(noted):
                return noted
        except (OSError, ValueError):  # it has ended, or is no process
            continue
    return None


def _history(old: OldPrimary, shelf: Shelf) -> tuple[Switch, ...]:
    if old.timeline == 1:
        return ()
    name = f"{old.timeline:08X}.history"
    own = old.folder / "pg_wal" / name
    text = own.read_bytes() if own.is_file() else shelf.read(name)
    if text is None:
        raise Unreadable(f"{old.folder}: {name} is neither in its pg_wal nor in the repository; {ANEW}")
    return read_history(text)
