"""Containment before the start, and its release, last first."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness.core.errors import HarnessError
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


def test_a_failed_release_leaves_the_others_contained(site: MemoryEstate) -> None:
    second = Shop(name="second", fails={"release": HarnessError("the database does not answer")})
    services, place = (Shop(name="first"), second), site.site("dr").place
    done = contain_all(services, place, "reversible", site.journal)
    with pytest.raises(HarnessError, match="the database does not answer"):
        release_all(services, place, done, site.journal)
    assert not [e for e in site.journal.events if e.kind == "released"]


@pytest.mark.parametrize("services", [(), (Page(),)], ids=["not declared", "of another kind"])
def test_what_cannot_be_released_is_named(site: MemoryEstate, services: tuple[Shop, ...]) -> None:
    with pytest.raises(HarnessError, match=r"page: was contained and cannot be released: estate\.toml"):
        release_all(services, site.site("dr").place, (Contained("page", ("mail off",)),), site.journal)
