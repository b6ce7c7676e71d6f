"""Continuity of a server with the WAL that was shipped of it: one that was put back writes the same positions anew.

PostgreSQL begins a new timeline when it is promoted or restored to a point in time, not when its data folder is put
back by a snapshot of its disk or of its machine. WAL of both states has the same names then, and what is replayed out
of both is damage.
"""

from collections.abc import Sequence
from datetime import datetime

from harness.core.errors import HarnessError
from harness.core.wal import read_lsn, show_lsn
from harness.physical.shipper import History, Part
from harness.postgres.replication.connection import Identity, Replication
from harness.repository.wal.catalogue import Shipped, WalCatalogue
from harness.repository.wal.reader import digest_of_plain

PUT_BACK = (
    "the server was put back to an earlier state, by a snapshot of its disk perhaps, or is a copy of the one whose WAL "
    "was shipped. Nothing is shipped, as WAL of two states in one timeline restores neither. Begin a new timeline: "
    "stop the server, make an empty recovery.signal in its data folder, start it with restore_command = 'false', and "
    "take a physical backup"
)


def end_of(catalogue: WalCatalogue, timeline: int, before: datetime | None = None) -> int:
    """Return up to which position WAL of a timeline is in the repository, 0 without any.

    `before`: what was shipped until then alone.
    """
    found = (shipped for (of, _), every in catalogue.segments.items() if of == timeline for shipped in every)
    return max((one.entry.end for one in found if before is None or one.listed.shipped_at <= before), default=0)


def behind(catalogue: WalCatalogue, timeline: int, position: int, before: datetime | None = None) -> str:
    """Return a line when a server that is at that position has not written all that was shipped of it, else "".

    `before`: what was shipped until then alone, where the server was asked first.
    """
    end = end_of(catalogue, timeline, before)
    if end <= position:
        return ""
    at = f"the server is at {show_lsn(position)} of timeline {timeline}"
    return f"{at}, and the repository has its WAL up to {show_lsn(end)}: {PUT_BACK}"


def require_ahead(connection: Replication, identity: Identity, catalogue: WalCatalogue) -> None:
    """Raise HarnessError when the repository has WAL of the server's timeline that the server has not written.

    `identity`: of the server when the connection began; it is asked again before it is blamed, for WAL may have been
    shipped meanwhile.
    """
    if not behind(catalogue, identity.timeline, read_lsn(identity.position)):
        return
    now = connection.identify()
    if line := behind(catalogue, now.timeline, read_lsn(now.position)):
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
                f"what is in the repository: {PUT_BACK}"
            )
