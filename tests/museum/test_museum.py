"""Each damage of the museum is found by `verify` with its own finding, and nothing else is called damaged."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness.backup.quick import verify_quick
from harness.backup.verify import Verified, verify_all
from harness.repository.witness import MemoryWitness
from tests.museum import damaged_chain, damaged_objects, damaged_wal
from tests.museum.exhibit import ALL, Exhibit
from tests.museum.exhibition import Exhibition


@pytest.fixture(scope="module")
def made() -> Exhibition:
    made = Exhibition()
    assert wrong(full(made)) == []
    return made


@pytest.fixture
def at(made: Exhibition) -> Exhibition:
    """The whole repository, with a witness that has seen it."""
    fresh = replace(made, made=True)
    (seen,) = made.repository.witnesses
    assert isinstance(seen, MemoryWitness)
    fresh.repository = replace(made.repository, witnesses=(MemoryWitness(dict(seen.known)),))
    fresh.restore()
    return fresh


def full(at: Exhibition) -> list[Verified]:
    return list(verify_all(at.repository, at.keys.dr[0], every=True))


def quick(at: Exhibition) -> list[Verified]:
    return list(verify_quick(at.repository))


def wrong(lines: list[Verified]) -> list[Verified]:
    return [line for line in lines if line.wrong]


def test_a_whole_repository_has_no_finding(at: Exhibition) -> None:
    assert wrong(quick(at)) == []
    assert [line.backup for line in full(at)] == [at.incremental, at.full, *reversed(at.logical), "WAL"]


def test_the_museum_is_large() -> None:
    assert {one.damage.__module__ for one in ALL} == {
        damaged_chain.__name__,
        damaged_objects.__name__,
        damaged_wal.__name__,
    }
    assert len(ALL) >= 50
    assert len({one.name for one in ALL}) == len(ALL)


@pytest.mark.parametrize("shown", ALL, ids=lambda one: one.name)
def test_each_damage_is_found(at: Exhibition, shown: Exhibit) -> None:
    shown.damage(at)
    place = {"newest": at.newest, "incremental": at.incremental, "planted": at.planted}.get(shown.place, shown.place)
    found = wrong(full(at))
    assert [line for line in found if line.backup == place and re.search(shown.finding, line.said)], found
    # What the damage does not touch is not called damaged.
    others = {line.backup for line in found} - {place, "chain", "WAL"}
    assert others <= ({at.full} if shown.place == "incremental" else set()), found
    assert all(line.said.isprintable() for line in found)
    hurried = [line for line in wrong(quick(at)) if line.backup == place and re.search(shown.finding, line.said)]
    assert shown.quick in (None, bool(hurried)), wrong(quick(at))
