"""What keeps the programs of a site from reaching other addresses, and what it refused."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Refused:
    """Packets that the wall around a site refused: one for each connection that was tried, several for a name.

    `where`: the node, or the site where nodes cannot be told apart. None: not measured.
    """

    where: str
    packets: int | None


@dataclass(frozen=True, slots=True)
class Egress:
    """What keeps the programs of a site from reaching other addresses, and what it refused."""

    wall: str
    refused: tuple[Refused, ...] = ()


@runtime_checkable
class Walled(Protocol):
    """A site whose programs may be kept from reaching other addresses."""

    def egress(self) -> Egress | None:
        """Return what keeps them, and what it refused so far; None where nothing does."""


def egress_of(site: object) -> Egress | None:
    """Return what keeps the programs of a site from reaching other addresses, None where nothing does."""
    return site.egress() if isinstance(site, Walled) else None
