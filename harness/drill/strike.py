"""Strike, message 2.1: destroys the primary site, witnessed node by node. No package of the recovery may import it."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, Refused, TookTooLong
from harness.core.journal import Journal
from harness.core.node import Address
from harness.core.overhead import overhead
from harness.estate.site import EstateSite
from harness.patience import PATIENCE
from harness.postgres.identity import system_facts
from harness.s3.client import read_tag
from harness.traffic.answering import Voices, addresses_of, still_answering, still_silent

CUT_OFF = 3  # failed requests in a row after which clients count as cut off


@dataclass(frozen=True, slots=True)
class Identity:
    """Identity of an estate: the database system identifier and the tag of its bucket."""

    system: str
    bucket: str
    tag: str


@dataclass(frozen=True, slots=True)
class Struck:
    """Result of the strike. `at`: its begin in monotonic seconds; `witnessed`: whether client requests failed.

    `living`: one line for each node of the site that still answers, so that the site is not lost.
    """

    at: float
    witnessed: bool
    living: tuple[str, ...] = ()


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
    ask: Callable[[Address], bool] | None = None,
) -> Struck:
    """Destroy the primary site. Raises Refused, changing nothing, for another identity or clients that fail already.

    Afterwards each of its nodes is asked with `ask`, at the address it had, whether it still answers.
    """
    ask = ask or Voices()
    require_target(site, expected)
    asked = addresses_of(site.nodes)
    if silent := still_silent(asked, ask):
        raise Refused(f"strike refused: the end of {', '.join(silent)} could not be seen: no answer before it either")
    if failures():
        raise Refused("strike refused: client requests were already failing; the result would be inconclusive")
    event = journal.mark("struck", "primary site", message="2.1", system=expected.system)
    with overhead(journal, "the strike"):
        destroy(site)

    def cut_off() -> None:
        if failures() < CUT_OFF:
            raise NotYet("client requests are still answered")

    try:
        wait_until(cut_off, patience=PATIENCE.strike_effect, what="the effect of the strike on clients")
    except TookTooLong:
        journal.mark("witness", site.site.name, effect="none")
        return Struck(event.at, witnessed=False)
    journal.mark("witness", site.site.name, effect="clients are cut off")
    return Struck(event.at, witnessed=True, living=_living(site.site.name, asked, ask, journal))


def _living(
    name: str, asked: dict[str, tuple[Address, ...]], ask: Callable[[Address], bool], journal: Journal
) -> tuple[str, ...]:
    """Ask every node and journal each answer; return a line for each node that lives on."""
    with overhead(journal, "the witness of the strike"):
        heard = still_answering(asked, ask)
        for node, addresses in asked.items():
            effect = f"still answers at {heard[node]}" if node in heard else "does not answer"
            journal.mark("witness", node, effect=effect, site=name, asked=", ".join(map(str, addresses)))
    return tuple(f"site {name} is not lost: node {node} still answers at {address}" for node, address in heard.items())
