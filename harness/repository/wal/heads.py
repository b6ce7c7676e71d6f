"""What witnesses know of the shipped WAL: the newest batch of each database system."""

from dataclasses import dataclass

from harness.core.errors import HarnessError
from harness.repository.catalogue import Repository
from harness.repository.chain import Head
from harness.repository.format.wal import WalLink
from harness.repository.wal.catalogue import WalCatalogue
from harness.repository.witness import Seen


@dataclass(frozen=True, slots=True)
class KnownHeads:
    """The newest batches that witnesses know, each with its database system, and why a witness cannot be read.

    The system is "" of what was noted by versions that kept one batch for an estate.
    """

    batches: tuple[tuple[str, Head], ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def systems(self) -> tuple[str, ...]:
        """Return the database systems."""
        return tuple(dict.fromkeys(system for system, _ in self.batches if system))

    def of(self, cluster: str) -> tuple[Head, ...]:
        """Return those of a database system; all of them for ""."""
        return tuple(
            dict.fromkeys(head for system, head in self.batches if "" in (system, cluster) or system == cluster)
        )


def known_heads(repository: Repository) -> KnownHeads:
    """Return what the witnesses know of the shipped WAL."""
    batches: list[tuple[str, Head]] = []
    doubts: list[str] = []
    for witness in repository.witnesses:
        try:
            seen, before = witness.read(repository.estate), witness.read(f"{repository.estate}/wal").head
        except HarnessError as error:
            doubts.append(str(error))
        else:
            batches += [*seen.wal.items(), *([("", before)] if before is not None else [])]
    return KnownHeads(tuple(batches), tuple(doubts))


def head_of(catalogue: WalCatalogue) -> Head | None:
    """Return the newest batch as a witness keeps it."""
    return None if catalogue.head is None else _as_head(catalogue.head)


def _as_head(link: WalLink) -> Head:
    return Head(link.sequence, link.run, link.digest)


def remember_wal(repository: Repository, catalogue: WalCatalogue) -> None:
    """Tell every witness the newest batch, unless it knows a newer one of this system. Raises HarnessError."""
    if catalogue.head is not None:
        remember_batch(repository, catalogue.cluster, catalogue.head)


def remember_batch(repository: Repository, cluster: str, link: WalLink) -> None:
    """Tell every witness a batch, unless it knows a newer one of this database system. Raises HarnessError."""
    head = _as_head(link)
    for witness in repository.witnesses:
        known = witness.read(repository.estate).wal.get(cluster)
        if known is None or head.sequence > known.sequence:
            witness.write(repository.estate, Seen(wal={cluster: head}))
