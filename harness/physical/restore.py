"""Restore to a point in time: base backup and WAL into an empty data folder, replayed to the target and promoted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.core.errors import MissingPart, Refused, RestoreFailed, UsageError
from harness.core.journal import Journal
from harness.core.wal import show_lsn
from harness.physical.choice import Wanted, Way, ways
from harness.physical.incremental.combine import combine
from harness.physical.incremental.parts import held, require_parts
from harness.physical.private_server import Connect, Unreached
from harness.physical.programs import Programs, programs_of
from harness.physical.server import Replayed, replay
from harness.physical.unpack import (
    AUTO,
    made,
    place_wal,
    put_back,
    require_empty,
    require_room,
    set_aside,
    spaces_of,
)
from harness.repository.catalogue import Repository
from harness.repository.committed import newest_system
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.reader import WalReader
from harness.substrate.common.filesystem import write_to_disk


@dataclass(frozen=True, slots=True)
class PointInTime:
    """What was restored. `position`, `last_commit`: the last WAL and the last transaction that were replayed.

    `timeline`: the one that was followed; `warnings`: what to do before it is used; `findings`: what contradicts the
    archive, such as a hole or a damaged newer backup, behind which there may be later writes. `superuser`: the role
    that initdb made; `major`: version of PostgreSQL.
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


def restore(
    repository: Repository,
    private_pem: bytes,
    wanted: Wanted,
    folder: Path,
    journal: Journal,
    progress: Callable[[int], None] | None = None,
    aside: Callable[[Way], None] | None = None,
) -> PointInTime:
    """Restore into an empty folder; a server can be started on it afterwards. After an error it is as it was before.

    `aside`: for one use here, so that the primary's settings stay out; it is called before anything is fetched, and
    what it raises is raised.

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
        programs = _preflight(way, folder, aside)
        try:
            with made(folder):
                reader = WalReader(repository, private_pem)
                way = fill(way, reader, folder, programs, journal, progress, keep=aside is None)  # noqa: PLW2901
                kept = set_aside(folder)
                done = replay_way(way, wanted, folder, programs, journal)
                if aside is None:
                    put_back(folder, kept)
                    for one in (folder, spaces_of(folder)):
                        write_to_disk(one)
        except Unreached as error:
            journal.mark("passed over", way.name, reason=str(error))
            tried.append(way.range)
            lost += way.lost
            continue
        damaged = (f"a newer backup was passed over: {reason}" for reason in way.damaged)
        found, warnings = (*damaged, *way.lost, *findings), _warnings(way, folder, done)
        return PointInTime(
            way.name, folder, way.timeline, done.position, done.last_commit, warnings, found, way.facts.superuser,
            programs.major,
        )  # fmt: skip
    raise Refused(f"{wanted.target} was not reached; there is: {'; '.join((*tried, *lost))}")


def _or_lost(found: Iterator[Way], lost: Sequence[str]) -> Iterator[Way]:
    """Yield what is found; what is raised because nothing reaches the target names the WAL that is `lost` as well."""
    try:
        yield from found
    except Refused as error:
        raise Refused("; ".join((str(error), *lost))) from error


def _preflight(way: Way, folder: Path, aside: Callable[[Way], None] | None) -> Programs:
    """Return the programs of the restore. Raises UsageError that names every obstacle, before anything is written."""
    found: list[Programs] = []
    checks: list[Callable[[], object]] = [
        lambda: require_empty(folder),
        lambda: require_empty(spaces_of(folder)),
        lambda: require_parts(folder, (*way.parents, way.backup)),
        lambda: require_room(folder, way.size() - held(folder)),
        lambda: found.append(programs_of(way.backup.manifest.contents.system.major)),
    ]
    if aside is not None:
        checks.insert(0, lambda: aside(way))
    obstacles = []
    for check in checks:
        try:
            check()
        except (UsageError, MissingPart) as error:
            obstacles.append(str(error))
        except OSError as error:  # of a folder that cannot be looked into
            obstacles.append(f"{error.filename}: {error.strerror}")
    if obstacles:
        raise UsageError("; ".join(dict.fromkeys(obstacles)))
    return found[0]


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
    lines += [f"archiving, replication and subscriptions are off: see the end of {folder / AUTO}"]
    lines.append("take a new physical backup of it once it is in use: this one is of the timeline before")
    if way.facts.tablespaces:
        lines.append(f"tablespaces are in {spaces_of(folder)}")
    if done.collations:
        lines.append(f"other version of the collation: REINDEX before use: {', '.join(done.collations)}")
    if done.position < way.end:
        lines.append(f"WAL from {show_lsn(done.position)} to {show_lsn(way.end)} was not replayed")
    return tuple(lines)
