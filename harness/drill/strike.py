"""Strike, message 2.1: destroys the primary site. The recovery packages must not import this module."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, Refused, TookTooLong
from harness.core.journal import Journal
from harness.estate.site import EstateSite
from harness.patience import PATIENCE
from harness.postgres.identity import system_facts
from harness.s3.client import read_tag

CUT_OFF = 3  # failed requests in a row after which clients count as cut off


@dataclass(frozen=True, slots=True)
class Identity:
    """Identity of an estate: the database system identifier and the tag of its bucket."""

    system: str
    bucket: str
    tag: str


@dataclass(frozen=True, slots=True)
class Struck:
    """Result of the strike. `at`: its begin in monotonic seconds; `witnessed`: whether client requests failed."""

    at: float
    witnessed: bool


def require_target(site: EstateSite, expected: Identity) -> None:
    """Raise Refused unless the site has the expected identity; an unreadable identity is refused too."""
    try:
        place = site.place
        found = Identity(system_facts(place.sql).identifier, expected.bucket, read_tag(place.s3, expected.bucket) or "")
    except (HarnessError, OSError) as error:
        raise Refused(f"strike refused: the identity of site {site.site.name} cannot be read ({error})") from error
    if found != expected:
        raise Refused(
            f"strike refused: site {site.site.name} is system {found.system}, bucket tag {found.tag!r}; the drill "
            f"target is system {expected.system}, tag {expected.tag!r}"
        )


def strike(
    site: EstateSite,
    expected: Identity,
    *,
    failures: Callable[[], int],
    journal: Journal,
    destroy: Callable[[EstateSite], None] = EstateSite.destroy,
) -> Struck:
    """Destroy the primary site. Raises Refused, changing nothing, for another identity or clients that fail already."""
    require_target(site, expected)
    if failures():
        raise Refused("strike refused: client requests were already failing; the result would be inconclusive")
    event = journal.mark("struck", "primary site", message="2.1", system=expected.system)
    destroy(site)

    def cut_off() -> None:
        if failures() < CUT_OFF:
            raise NotYet("client requests are still answered")

    try:
        wait_until(cut_off, patience=PATIENCE.strike_effect, what="the effect of the strike on clients")
    except TookTooLong:
        journal.mark("witness", "primary site", effect="none")
        return Struck(event.at, witnessed=False)
    journal.mark("witness", "primary site", effect="clients are cut off")
    return Struck(event.at, witnessed=True)
