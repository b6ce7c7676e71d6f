"""The strike destroys the drill target and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from harness.core.errors import HarnessError, Refused
from harness.drill.strike import CUT_OFF, Identity, strike
from harness.s3.client import tag
from tests.memory_estate import BUCKET, TAG, MemoryEstate

TARGET = Identity("primary-0", BUCKET, TAG)


@pytest.fixture
def estate(memory_estate: MemoryEstate) -> MemoryEstate:
    memory_estate.start_primary()
    tag(memory_estate.site("primary").place.s3, BUCKET, TAG)
    return memory_estate


def failures(*counts: int) -> Callable[[], int]:
    """Return a function that answers these one after the other, and the last for good."""
    left: Iterator[int] = iter(counts)
    return lambda: next(left, counts[-1])


def test_the_target_is_destroyed_once_and_its_effect_is_witnessed(estate: MemoryEstate) -> None:
    site = estate.site("primary")
    struck = strike(site, TARGET, failures=failures(0, 1, CUT_OFF), journal=estate.journal, ask=estate.answers)
    assert struck.witnessed
    assert not site.nodes
    events = [(event.kind, event.message) for event in estate.journal.events if event.kind in ("struck", "witness")]
    assert events == [("struck", "2.1"), *[("witness", "")] * 4]  # clients, and each of three nodes


def unreadable(estate: MemoryEstate) -> None:
    estate.site("primary").nodes["postgres"].kill()


def untagged(estate: MemoryEstate) -> None:
    estate.servers.objects["primary"].tags.clear()


def unread_tag(estate: MemoryEstate) -> None:
    estate.servers.objects["primary"].refused["get_bucket_tags"] = "reset"


@pytest.mark.parametrize(
    ("target", "fault", "said"),
    [
        (replace(TARGET, system="7391"), None, "site primary is system primary-0, .* target is system 7391"),
        (replace(TARGET, tag="another"), None, f"bucket tag '{TAG}'.*tag 'another'"),
        (TARGET, unreadable, "the identity of site primary cannot be read .*is it running"),
        (TARGET, untagged, "bucket tag ''"),
        (TARGET, unread_tag, "the identity of site primary cannot be read .*its tag cannot be read: reset"),
    ],
    ids=["another system", "another tag", "server does not answer", "no tag", "store does not answer"],
)
def test_any_other_site_is_refused_and_nothing_is_changed(
    estate: MemoryEstate, target: Identity, fault: Callable[[MemoryEstate], None] | None, said: str
) -> None:
    if fault is not None:
        fault(estate)
    with pytest.raises(Refused, match=f"^strike refused: .*{said}"):
        strike(
            estate.site("primary"),
            target,
            failures=failures(0),
            journal=estate.journal,
            ask=estate.answers,
            destroy=never,
        )
    assert not estate.journal.events


def test_a_site_that_was_never_activated_is_refused(memory_estate: MemoryEstate) -> None:
    with pytest.raises(Refused, match=r"cannot be read .*not activated yet"):
        strike(
            memory_estate.site("dr"),
            TARGET,
            failures=failures(0),
            journal=memory_estate.journal,
            ask=memory_estate.answers,
            destroy=never,
        )


def test_clients_that_fail_before_the_strike_make_it_refused(estate: MemoryEstate) -> None:
    with pytest.raises(Refused, match="client requests were already failing"):
        strike(
            estate.site("primary"),
            TARGET,
            failures=failures(1),
            journal=estate.journal,
            ask=estate.answers,
            destroy=never,
        )
    assert not estate.journal.events


def test_a_client_load_that_died_ends_the_strike_before_it(estate: MemoryEstate) -> None:
    def died() -> int:
        raise HarnessError("ledger writer died at write 3: disk full")

    with pytest.raises(HarnessError, match="died at write 3"):
        strike(estate.site("primary"), TARGET, failures=died, journal=estate.journal, ask=estate.answers, destroy=never)


def test_without_an_effect_on_clients_nothing_is_witnessed(
    estate: MemoryEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.strike_effect", 0.0)
    struck = strike(estate.site("primary"), TARGET, failures=failures(0), journal=estate.journal, ask=estate.answers)
    assert not struck.witnessed
    assert estate.journal.events[-1].facts == {"effect": "none"}


def test_a_destruction_that_fails_is_raised_and_journalled_as_begun(estate: MemoryEstate) -> None:
    def half(_site: object) -> None:
        raise HarnessError("a container cannot be removed")

    with pytest.raises(HarnessError, match="a container cannot be removed"):
        strike(
            estate.site("primary"),
            TARGET,
            failures=failures(0),
            journal=estate.journal,
            ask=estate.answers,
            destroy=half,
        )
    assert [event.kind for event in estate.journal.events] == ["struck"]


def never(_site: object) -> None:
    pytest.fail("the site was destroyed")
