"""Order of backups by their chain, and what contradicts it: R4, R6."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from harness.repository.chain import Head, Link, follow, newest

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = NOON + timedelta(days=30)


def link(number: int, *after: Link, name: str = "", at: datetime | None = None, cluster: str = "7") -> Link:
    name = name or f"b{number}"
    head = Head(number, name, f"digest of {name}")
    return Link(head, tuple(one.head for one in after), at or NOON + timedelta(days=number), cluster)


FIRST = link(1)
SECOND = link(2, FIRST)
THIRD = link(3, SECOND)
FOURTH = link(4, THIRD)
ALL = [FIRST, SECOND, THIRD, FOURTH]


def test_a_whole_chain_is_ordered_by_number() -> None:
    chain = follow(ALL, [], (), NOW)
    assert (chain.order, chain.head, chain.findings) == (("b4", "b3", "b2", "b1"), FOURTH.head, ())
    assert newest(ALL, []) == (FOURTH.head,)
    assert follow([], [], (), NOW).head is None
    assert newest([], []) == ()


def test_names_and_clocks_do_not_decide() -> None:
    """A backup taken while the clock was years ahead is not the newest for ever, and is a finding."""
    ahead = link(2, FIRST, name="2099", at=NOON + timedelta(days=5000))
    after = link(3, ahead, name="2026")
    chain = follow([FIRST, ahead, after], [], (), NOW)
    assert chain.order == ("2026", "2099", "b1")
    assert len(chain.findings) == 2
    assert any("backup 2099 (number 2) is 4970 days in the future" in line for line in chain.findings)
    assert any("2026 (number 3) was finished 4997 days before backup 2099" in line for line in chain.findings)


@pytest.mark.parametrize(("back", "found"), [(timedelta(hours=1), True), (timedelta(minutes=1), False)])
def test_a_clock_that_went_back_is_a_finding(back: timedelta, found: bool) -> None:
    later = link(2, FIRST, at=FIRST.finished - back)
    assert bool(follow([FIRST, later], [], (), NOW).findings) == found
    assert follow([FIRST, later], [], (), NOW).order == ("b2", "b1")


def test_expired_backups_at_the_old_end_are_no_finding() -> None:
    assert follow([THIRD, FOURTH], [FIRST.head, FOURTH.head], (), NOW).findings == ()


def test_a_deleted_backup_in_the_middle_is_named() -> None:
    (line,) = follow([FIRST, SECOND, FOURTH], [], (), NOW).findings
    assert line == "backup b3 (number 3) is not in the repository, though older ones are: it was deleted"
    assert follow([FIRST, SECOND, FOURTH], [], {"b3"}, NOW).findings == ()  # it is there, and damaged


@pytest.mark.parametrize("left", [[], [FIRST], [FIRST, SECOND, THIRD]])
def test_a_deleted_newest_backup_and_an_older_state_are_named(left: list[Link]) -> None:
    (line,) = follow(left, [FOURTH.head], (), NOW).findings
    assert "backup b4 (number 4), the newest known, is not in the repository: it was deleted, or an older state" in line
    assert follow(left, [FOURTH.head], {"b4"}, NOW).findings == ()


def test_a_replaced_history_is_named() -> None:
    other = link(4, THIRD, name="other")
    (line,) = follow([FIRST, SECOND, THIRD, other, link(5, other)], [FOURTH.head], (), NOW).findings
    assert line.startswith("backup b4 (number 4), which was seen before, is not in the repository, and backup other")


def test_a_deleted_backup_that_none_follows_is_named_by_who_has_seen_it() -> None:
    (line,) = follow([FIRST, SECOND, link(4, SECOND)], [THIRD.head], (), NOW).findings
    assert line == "backup b3 (number 3), which was seen before, is not in the repository: it was deleted"


def test_what_follows_a_deleted_one_names_it() -> None:
    """The writer has a witness: the next backup follows the one that is gone, so that every reader notices."""
    left = [FIRST, SECOND, THIRD]
    assert newest(left, [FOURTH.head]) == (FOURTH.head, THIRD.head)
    fifth = Link(Head(5, "b5", "digest of b5"), newest(left, [FOURTH.head]), NOON + timedelta(days=5), "7")
    (line,) = follow([*left, fifth], [], (), NOW).findings
    assert "backup b4 (number 4) is not in the repository" in line
    assert newest([*left, fifth], [FOURTH.head]) == (fifth.head,)


def test_two_backups_at_the_same_time_are_followed_by_one() -> None:
    twin = link(4, THIRD, name="twin", at=FOURTH.finished + timedelta(seconds=1))
    assert follow([*ALL, twin], [FOURTH.head], (), NOW).findings == ()
    assert follow([*ALL, twin], [], (), NOW).order[:2] == ("twin", "b4")
    fifth = link(5, *[one for one in (twin, FOURTH) if one.head in newest([*ALL, twin], [])])
    assert len(fifth.follows) == 2
    assert follow([*ALL, twin, fifth], [FOURTH.head], (), NOW).findings == ()


def test_another_database_system_is_a_finding() -> None:
    (line,) = follow([FIRST, link(2, FIRST, cluster="8")], [], (), NOW).findings
    assert "is of database system 8, backup b1 (number 1) of 7" in line


def test_what_expired_is_no_finding_and_makes_no_second_end() -> None:
    """Of four backups the second expired: the first is not what the next one follows."""
    left = [FIRST, THIRD, FOURTH]
    assert follow(left, [SECOND.head], (), NOW, [SECOND.head]).findings == ()
    assert follow(left, [SECOND.head], (), NOW).findings != ()
    assert newest(left, [SECOND.head], [SECOND.head]) == (FOURTH.head,)
    assert newest([FIRST, FOURTH], [], [SECOND.head, THIRD.head]) == (FOURTH.head,)
    beside = link(4, THIRD, name="beside")
    assert newest([FIRST, FOURTH, beside], [], [SECOND.head, THIRD.head]) == (beside.head, FOURTH.head)


@pytest.mark.parametrize(("systems", "found"), [({"7", "8"}, False), ({"8"}, True), ({"7"}, True), ({"9"}, True)])
def test_a_declared_database_system_may_follow_another(systems: set[str], found: bool) -> None:
    """After a failover DR's server writes the backups."""
    assert bool(follow([FIRST, link(2, FIRST, cluster="8")], [], (), NOW, systems=systems).findings) == found
