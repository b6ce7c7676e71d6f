"""Restore to a point in time: base backup and WAL into an empty data folder, replayed to the target and promoted."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from os import stat_result
from pathlib import Path

from harness.core.contents import Needs
from harness.core.errors import Refused, RestoreFailed
from harness.core.journal import Journal
from harness.core.wal import show_lsn
from harness.physical.choice import Wanted, Way, ways
from harness.physical.incremental.combine import combine
from harness.physical.installation.collations import other_collations
from harness.physical.owner import Identity, hand_over, identity_of
from harness.physical.preflight import preflight
from harness.physical.private_server import Connect, Unreached
from harness.physical.programs import Programs
from harness.physical.server import Replayed, replay
from harness.physical.unpack import (
    AUTO,
    made,
    place_wal,
    put_back,
    set_aside,
    spaces_of,
    tablespaces_of,
)
from harness.repository.catalogue import Repository
from harness.repository.committed import newest_system
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.reader import WalReader
from harness.substrate.common.filesystem import write_to_disk

ROOTS = "its files are root's, as whom PostgreSQL does not start; give them to its user, such as"


@dataclass(frozen=True, slots=True)
class PointInTime:
    """What was restored. `position`, `last_commit`: the last WAL and the last transaction that were replayed.

    `timeline`: the one that was followed; `warnings`: what to do before it is used; `findings`: what contradicts the
    archive, such as a hole or a damaged newer backup, behind which there may be later writes. `superuser`: the role
    that initdb made; `major`: version of PostgreSQL; `checksums`: whether its pages have some.
    """

    backup_id: str
    folder: Path
    timeline: int
    position: int
    last_commit: datetime | None
    warnings: tuple[str, ...]
    findings: tuple[str, ...] = ()
    superuser: str = ""
    major: int = 0
    checksums: bool = False


def restore(
    repository: Repository,
    private_pem: bytes,
    wanted: Wanted,
    folder: Path,
    journal: Journal,
    progress: Callable[[int], None] | None = None,
    aside: Callable[[Way], None] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    elsewhere: bool = False,
    database: str = "",
) -> PointInTime:
    """Restore into an empty folder; a server can be started on it afterwards. After an error it is as it was before.

    `aside`: for one use here, so that the primary's settings stay out; it is called before anything is fetched, and
    what it raises is raised. `tags`: variables by which a sweep finds the programs that are started. `elsewhere`: the
    server will run on another machine, so that what this one lacks is a warning; `database`: the one that is used, "":
    all.

    Raises UsageError for a folder that is not empty, Refused with what can be reached for a target outside of it,
    NoValidBackup, Unreadable for a backup or WAL that is not authentic, RestoreFailed.
    """
    folder = folder.absolute()
    catalogue = repository.catalogue()
    named = [one for one in catalogue.entries if wanted.backup_id in ("", one.backup_id)]
    wal = read_wal(repository, newest_system(named))
    findings = (*catalogue.findings, *wal_findings(repository, wal))
    tried: list[str] = []
    lost: list[str] = []
    for way in _or_lost(ways(repository, catalogue.entries, wal, private_pem, wanted), lost):
        journal.mark(
            "selected", way.name, range=way.range, target=str(wanted.target), needed=way.size(), bytes=way.to_fetch
        )
        programs, lacks = preflight(way, folder, aside, tags, elsewhere=elsewhere, database=database)
        for line in lacks:
            journal.mark("log", "preflight", note=line)
        promoted = _Promoted(way.facts.needs)
        try:
            with made(folder) as was:
                reader = WalReader(repository, private_pem)
                way = fill(way, reader, folder, programs, journal, progress, keep=aside is None)  # noqa: PLW2901
                kept, there = set_aside(folder), {one: identity_of(one) for one in (folder, spaces_of(folder))}
                done = replay_way(way, wanted, folder, programs, journal, promoted.look)
                if aside is None:
                    put_back(folder, kept)
                    _finish(there, was)
        except Unreached as error:
            journal.mark("passed over", way.name, reason=str(error))
            tried.append(way.range)
            lost += way.lost
            continue
        damaged = (f"a newer backup was passed over: {reason}" for reason in way.damaged)
        found, warnings = (*damaged, *way.lost, *findings), (*lacks, *promoted.other, *_warnings(way, folder, done))
        return PointInTime(
            way.name, folder, way.timeline, done.position, done.last_commit, warnings, found, way.facts.superuser,
            programs.major, way.facts.checksums,
        )  # fmt: skip
    raise Refused(f"{wanted.target} was not reached; there is: {'; '.join((*tried, *lost))}")


def _finish(folders: Mapping[Path, Identity | None], was: stat_result | None) -> None:
    """Give what was restored to its owner, and write it to the disk."""
    if was is not None:
        with suppress(OSError):  # a warning says that it is root's
            hand_over(was, folders)
    for one in folders:
        write_to_disk(one)


@dataclass(slots=True)
class _Promoted:
    """What is found on the server once it is promoted. `other`: a line for each collation of another version."""

    needs: Needs
    other: tuple[str, ...] = ()

    def look(self, connect: Connect) -> None:
        """Look at the databases of the server of the replay."""
        self.other = other_collations(connect, self.needs)


def _or_lost(found: Iterator[Way], lost: Sequence[str]) -> Iterator[Way]:
    """Yield what is found; what is raised because nothing reaches the target names the WAL that is `lost` as well."""
    try:
        yield from found
    except Refused as error:
        raise Refused("; ".join((str(error), *lost))) from error


def fill(
    way: Way,
    reader: WalReader,
    folder: Path,
    programs: Programs,
    journal: Journal,
    progress: Callable[[int], None] | None,
    *,
    keep: bool = False,
) -> Way:
    """Write base backup and WAL into an empty data folder, and verify the backup's files by its own manifest.

    Return the way that is left: WAL that cannot be read ends it. `keep`: whether what was fetched stays after an
    interruption. Raises Unreadable for what is not authentic, RestoreFailed for files that differ from the manifest.
    """
    combine((*way.parents, way.backup), folder, programs, journal, progress, keep=keep)
    way = place_wal(way, reader, folder)
    journal.mark("placed", "WAL", files=len(way.files), end=show_lsn(way.end))
    return way


def replay_way(
    way: Way,
    wanted: Wanted,
    folder: Path,
    programs: Programs,
    journal: Journal,
    promoted: Callable[[Connect], None] = lambda _connect: None,
) -> Replayed:
    """Replay to the target and promote. `promoted`: changes the databases before anybody else can connect.

    Raises Unreached when the target is not there, RestoreFailed when WAL was not replayed.
    """
    target, superuser = wanted.target, way.facts.superuser
    common = {"recovery_target_timeline": str(way.timeline)}
    try:
        done = replay(programs, folder, superuser, common, target.settings, promoted)
        if target.position is not None and not target.before and done.position < target.position:
            raise RestoreFailed(f"replayed up to {show_lsn(done.position)} only, {target} was asked for")
        if not target.settings:
            _require_end(way, done)
    except Unreached:
        covered = target.time is not None and way.covered_until is not None and target.time <= way.covered_until
        if not covered:
            raise
        # Nothing was committed between the last transaction and the target: the end of the WAL is the state at it.
        done = replay(programs, folder, superuser, common, {}, promoted)
        _require_end(way, done)
    journal.mark("replayed", way.name, position=show_lsn(done.position))
    return done


def _require_end(way: Way, done: Replayed) -> None:
    """Raise RestoreFailed unless all WAL was replayed: PostgreSQL ends quietly at a record that it cannot read."""
    begin = way.files[-1].entry.start if way.files else way.facts.start
    if done.position < min(begin, way.end):
        raise RestoreFailed(
            f"the replay ended at {show_lsn(done.position)}, the repository has WAL up to {show_lsn(way.end)}"
        )


def _warnings(way: Way, folder: Path, done: Replayed) -> tuple[str, ...]:
    lines = [f"a newer timeline was not followed: {reason}" for reason in way.passed_over]
    lines += [f"archiving, replication, subscriptions and jobs of pg_cron are off: see the end of {folder / AUTO}"]
    lines.append("take a new physical backup of it once it is in use: this one is of the timeline before")
    spaces = (spaces_of(folder),) if tablespaces_of(way.backup) else ()
    if folder.stat().st_uid == 0:
        command = shlex.join(("chown", "-R", "postgres", str(folder), *map(str, spaces)))
        lines.append(f"{ROOTS} `{command}`")
    lines += [f"tablespaces are in {one}" for one in spaces]
    if done.position < way.end:
        lines.append(f"WAL from {show_lsn(done.position)} to {show_lsn(way.end)} was not replayed")
    return tuple(lines)
