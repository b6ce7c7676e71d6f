"""Choice of what the database server is restored from: a standby, base backups, or the dumps; message 2.3."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.core.contents import Contents
from harness.core.errors import Finding, HarnessError, NotARecipient, reason_of
from harness.core.wal import show_lsn
from harness.physical.choice import END, Wanted, Way, ways
from harness.physical.standby.folder import State
from harness.repository.catalogue import Repository
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.reader import WalReader

TRIED = 3  # base backups that are tried, the newest first, before the dumps are restored


class Standby(Protocol):
    """A server that follows the lost one: a warm standby, or an old primary that was rewound and comes back."""

    @property
    def mode(self) -> str:
        """The mode of a restore that promotes it, for the record."""

    @property
    def backup(self) -> str:
        """The base backup that it was made from, "" for none. Raises RestoreFailed when it cannot be told."""

    def take(self, way: Way, reader: WalReader, into: Path, progress: Callable[[int], None]) -> State:
        """Move its data to `into`, with all WAL of the way; return how far it was. Raises RestoreFailed."""

    def end(self) -> None:
        """SIGKILL it, and remove its data. Raises HarnessError."""


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The base backups that may be restored, the newest first. `findings`: what contradicts the archive.

    `standby`: the base backup that the standby was made from, and its WAL, or why the standby cannot be promoted.
    """

    ways: tuple[Way, ...] = ()
    findings: tuple[str, ...] = ()
    standby: Way | str = "there is none"


DUMPS = ServerChoice()  # the dumps are restored


def choose_server(
    repository: Repository, private_pem: str, dumps: Contents, standby: Standby | None = None
) -> ServerChoice:
    """Return the base backups whose WAL reaches beyond the dumps, each up to the first hole in its WAL.

    Without any the dumps are what is proven: a finding says why. `standby`: is taken where its WAL reaches as far.
    Raises HarnessError of the store.
    """
    catalogue_ = repository.catalogue()
    wal = read_wal(repository, dumps.system.identifier)
    found: list[Way] = []
    reasons: list[str] = []
    others: list[str] = []
    for entry in catalogue_.entries:
        if not entry.physical or len(found) == TRIED:
            continue
        try:
            wanted = Wanted(END.target, entry.backup_id)
            way = next(ways(repository, catalogue_.entries, wal, private_pem.encode(), wanted))
        except (Finding, HarnessError) as error:
            # Sealed to other keys, it is no candidate and no damage: after a failback, that of the site before.
            (others if isinstance(error.__cause__, NotARecipient) else reasons).append(reason_of(error))
            continue
        if (way.covered_until or way.facts.stopped_at) < dumps.snapshot_at:
            reasons.append(f"{way.name}: its WAL ends at {show_lsn(way.end)}, before the dumps")
        elif way.timeline < dumps.system.timeline:  # a server that was promoted past wrote on, and its WAL is newer
            reasons.append(
                f"{way.name}: its WAL is of timeline {way.timeline}, the dumps are of {dumps.system.timeline}: "
                "a server was promoted in between"
            )
        else:
            found.append(way)
    if not found:
        why = "; ".join((*reasons, *others)) or "none is committed; take one with `blackstart backup`"
        reasons = [f"no base backup can be restored, the dumps are: {why}"]
    followed: Way | str = ServerChoice().standby
    if standby is not None and found:
        try:
            wanted = Wanted(END.target, standby.backup or found[0].name)
            followed = next(ways(repository, catalogue_.entries, wal, private_pem.encode(), wanted))
            if (followed.timeline, followed.end) < (found[0].timeline, found[0].end):
                followed = f"{followed.range}, and base backup {found[0].name} up to {show_lsn(found[0].end)}"
        except (Finding, HarnessError) as error:
            followed = reason_of(error)
    return ServerChoice(tuple(found), (*reasons, *wal_findings(repository, wal)), followed)
