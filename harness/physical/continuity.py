"""Continuity of a server with the WAL that was shipped of it: one that was put back writes the same positions anew.

PostgreSQL begins a new timeline when it is promoted or restored to a point in time, not when its data folder is put
back by a snapshot of its disk or of its machine. WAL of both states has the same names then, and what is replayed out
of both is damage.
"""

from collections.abc import Collection, Sequence

from harness.core.errors import HarnessError
from harness.core.wal import read_history, read_lsn, show_lsn
from harness.physical.shipper import History, Part
from harness.postgres.replication.connection import Identity, Replication
from harness.postgres.replication.stream import timeline_history
from harness.repository.wal.catalogue import Leg, Shipped, WalCatalogue
from harness.repository.wal.reader import digest_of_plain

PUT_BACK = (
    "the server was put back to an earlier state, by a snapshot of its disk perhaps, or is a copy of the one whose WAL "
    "was shipped. Nothing is shipped, as WAL of two states in one timeline restores neither. Begin a new timeline: "
    "stop the server, make an empty recovery.signal in its data folder"
)


def put_back(catalogue: WalCatalogue, timeline: int) -> str:
    """Return what happened to a server that was put back, and how it begins a timeline that the repository lacks.

    PostgreSQL takes the number after those whose histories it finds, and would follow the newest of them.
    """
    later = catalogue.timelines[-1:]
    if not later or later[0] <= timeline:
        return f"{PUT_BACK}, start it with restore_command = 'false', and take a physical backup"
    first, last = (f"{number:08X}.history" for number in (timeline + 1, later[0]))
    files = f"an empty file {first}" if first == last else f"empty files {first} to {last}"
    return (
        f"{PUT_BACK} and, as the repository has timelines up to {later[0]}, {files} in its pg_wal, start it with "
        "restore_command = 'false' and recovery_target_timeline = 'current', and take a physical backup"
    )


def end_of(catalogue: WalCatalogue, timeline: int) -> int:
    """Return up to which position WAL of a timeline is in the repository, 0 without any."""
    found = (shipped for (of, _), every in catalogue.segments.items() if of == timeline for shipped in every)
    return max((one.entry.end for one in found), default=0)


def behind(catalogue: WalCatalogue, timeline: int, position: int) -> str:
    """Return a line when a server that is at that position has not written all that was shipped of it, else "".

    The server is to be asked after the catalogue was read: WAL may be shipped meanwhile. No clock is compared.
    """
    end = end_of(catalogue, timeline)
    if end <= position:
        return ""
    at = f"the server is at {show_lsn(position)} of timeline {timeline}"
    return f"{at}, and the repository has its WAL up to {show_lsn(end)}: {put_back(catalogue, timeline)}"


def resized(catalogue: WalCatalogue, size: int) -> str:
    """Return a line when WAL of a server whose segments had another size is in the repository, else "".

    `size`: of a segment now, in bytes. Positions do not say which size a segment of a repository has.
    """
    named = (shipped.listed.segment_size for every in catalogue.segments.values() for shipped in every)
    other = next((one for one in named if one != size), 0)  # a history alone has no size, and never expires
    if not other:
        return ""
    return (
        f"its WAL segments are of {size >> 20} MB, and those in the repository of {other >> 20} MB (pg_resetwal "
        "--wal-segsize); a repository is restored from with one size: declare another bucket or directory for its "
        f"backups, or stop the server, set the size back with pg_resetwal --wal-segsize={other >> 20}, and take a "
        "physical backup"
    )


def require_ahead(connection: Replication, identity: Identity, catalogue: WalCatalogue) -> None:
    """Raise HarnessError when the repository has WAL of the server's timeline that the server has not written.

    `identity`: of the server when the connection began; it is asked again before it is blamed, for WAL may have been
    shipped meanwhile. A server in recovery is at the position of its replay, which says nothing of the WAL that it has.
    Raises HarnessError as well where its segments have another size by now.
    """
    if line := resized(catalogue, identity.segment_size):
        raise HarnessError(f"{connection.where}: {line}")
    if not behind(catalogue, identity.timeline, read_lsn(identity.position)):
        return
    recovers = connection.recovers()  # first: one that is promoted meanwhile is no server that was put back
    now = connection.identify()
    line = behind(catalogue, now.timeline, read_lsn(now.position))
    if line and recovers:
        raise HarnessError(
            f"{connection.where}: is in recovery, at {now.position} of timeline {now.timeline}, and the repository has "
            f"its WAL up to {show_lsn(end_of(catalogue, now.timeline))}; nothing is shipped until it has replayed that"
        )
    if line:
        raise HarnessError(f"{connection.where}: {line}")


def require_same(where: str, item: Part | History, catalogue: WalCatalogue) -> None:
    """Raise HarnessError when what a server sent is not what was shipped of it before, as far as that goes."""
    if isinstance(item, History):
        known = catalogue.histories.get(item.timeline)
        if known is not None and digest_of_plain(item.text) != known.entry.plain_sha256:
            raise HarnessError(
                f"{where}: its history of timeline {item.timeline} is not the one in the repository: two servers were "
                "promoted from one; end the one that is not wanted, or declare another repository for it"
            )
        return
    before: Sequence[Shipped] = catalogue.segments.get((item.timeline, item.start), ())
    for one in (shipped.entry for shipped in before if shipped.entry.end <= item.end):
        if digest_of_plain(item.data[: one.plain_size]) != one.plain_sha256:
            raise HarnessError(
                f"{where}: its WAL from {show_lsn(one.start)} to {show_lsn(one.end)} of timeline {one.timeline} is not "
                f"what is in the repository: {put_back(catalogue, one.timeline)}"
            )


def continued(
    connection: Replication, identity: Identity, catalogue: WalCatalogue, restart: int, *, shipped: bool = False
) -> tuple[int, int]:
    """Return where the archive is continued on this server, whose timeline may have left another one earlier.

    `restart`: from which position on it is received where nothing was shipped of it; `shipped`: behind what backups
    shipped after the end of the archive. Raises HarnessError.
    """
    newest = identity.timeline
    ends = read_history(timeline_history(connection, newest)[1]) if newest > 1 else ()
    later = (*(one.timeline for one in ends[1:]), newest)
    archive = _end_of(catalogue, {newest, *(one.timeline for one in ends)})
    timeline, position = archive or (newest, restart)
    for one, following in zip(ends, later, strict=False):
        if one.timeline == timeline and shipped:
            position, _ = catalogue.reach(Leg(timeline, position, one.at))
        if one.timeline == timeline and position >= one.at:
            timeline, position = following, one.at
    if shipped:
        position, _ = catalogue.reach(Leg(timeline, position, None))
    return timeline, position


def _end_of(catalogue: WalCatalogue, timelines: Collection[int]) -> tuple[int, int] | None:
    """Return the timeline and the position at which the archive of some timelines ends, None where it has none."""
    archived = [
        (timeline, start, found[0].entry.end)
        for (timeline, start), found in catalogue.segments.items()
        if timeline in timelines and any(one.listed.purpose == "archive" for one in found)
    ]
    if not archived:
        return None
    timeline, _, end = max(archived)
    return timeline, end
