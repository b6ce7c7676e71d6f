"""Containment before the start, and its release, last first."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness.core.errors import Finding, HarnessError, RestoreFailed
from harness.core.service import Contained
from harness.recovery.containment import contain_all, release_all
from tests.memory_estate import MemoryEstate, Shop


@dataclass
class Page:
    """A service that does not act on the world."""

    name: str = "page"


@pytest.fixture
def site(memory_estate: MemoryEstate) -> MemoryEstate:
    memory_estate.site("dr").activate()
    return memory_estate


def test_every_service_that_acts_on_the_world_is_contained_and_journalled(site: MemoryEstate) -> None:
    services = (Shop(name="first"), Page(), Shop(name="second"))
    done = contain_all(services, site.site("dr").place, "reversible", site.journal)  # type: ignore[arg-type]
    assert [entry.service for entry in done] == ["first", "second"]
    events = [(e.subject, e.facts["containment"], e.facts["actions"]) for e in site.journal.events]
    said = "mail off, reversible"
    assert events == [("first", "reversible", said), ("second", "reversible", said)]


def test_one_that_stays_uncontained_ends_the_containment(site: MemoryEstate) -> None:
    second = Shop(name="second", fails={"contain": HarnessError("its queue cannot be stopped")})
    with pytest.raises(HarnessError, match="its queue cannot be stopped"):
        contain_all((Shop(name="first"), second), site.site("dr").place, "reversible", site.journal)
    assert not site.journal.events


def test_containment_is_released_last_first(site: MemoryEstate) -> None:
    services, place = (Shop(name="first"), Shop(name="second")), site.site("dr").place
    done = contain_all(services, place, "reversible", site.journal)
    release_all(services, place, done, site.journal)
    assert [e.subject for e in site.journal.events if e.kind == "released"] == ["second", "first"]
    assert all(service.calls[-1] == "release" for service in services)


@pytest.mark.parametrize(
    "error", [HarnessError("no answer"), RestoreFailed("no answer"), ConnectionRefusedError("no answer")]
)
def test_a_failed_release_leaves_that_one_contained_and_no_other(site: MemoryEstate, error: Exception) -> None:
    second = Shop(name="second", fails={"release": error})
    services, place = (Shop(name="first"), second, Shop(name="third")), site.site("dr").place
    held = contain_all(services, place, "reversible", site.journal)
    released = release_all(services, place, held, site.journal)
    assert (released.done, released.kept) == ((held[0], held[2]), (held[1],))
    events = [(e.kind, e.subject) for e in site.journal.events if e.kind != "contained"]
    assert events == [("released", "third"), ("not released", "second"), ("released", "first")]
    with pytest.raises(Finding, match=r"^not released: second: no answer; .* again: first, third "):
        released.require()
    second.fails.clear()
    again = release_all(services, place, released.kept, site.journal)
    assert (again.done, again.kept) == ((held[1],), ())
    again.require()


def test_what_somebody_removed_meanwhile_is_a_line_and_no_failure(site: MemoryEstate) -> None:
    services, place = (Shop(name="first", missing=("cron 3 was removed since",)),), site.site("dr").place
    released = release_all(services, place, contain_all(services, place, "reversible", site.journal), site.journal)
    released.require()
    assert (released.kept, released.lines) == ((), ("first: cron 3 was removed since",))
    assert site.journal.events[-1].facts["said"] == "first: cron 3 was removed since"


@pytest.mark.parametrize("services", [(), (Page(),)], ids=["not declared", "of another kind"])
def test_what_cannot_be_released_is_named(site: MemoryEstate, services: tuple[Shop, ...]) -> None:
    released = release_all(services, site.site("dr").place, (Contained("page", ("mail off",)),), site.journal)
    with pytest.raises(Finding, match=r"page: was contained and cannot be released: estate\.toml"):
        released.require()
