"""Restore drills from a repository that another estate wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from pytest_bdd import given, parsers, then, when

from harness.core.record import DrillRecord
from harness.drill.drill import Drill
from harness.scenario.foreign_repository import Borrowed

OpenDrill = Callable[[str, str], Drill]


@given("a repository that another estate wrote", target_fixture="borrowed")
def _(open_drill: OpenDrill, promise_name: str) -> Iterator[Borrowed]:
    borrowed = Borrowed(open_drill("notification", promise_name))
    with closing(borrowed):
        yield borrowed.write()


@given("its only backup has a flipped bit")
def _(borrowed: Borrowed) -> None:
    borrowed.damage()


@given("a DR site that stands already and is listed as a drill target")
def _(borrowed: Borrowed) -> None:
    borrowed.stand()


@when("its newest backup is rehearsed on a DR site of ours", target_fixture="record")
def _(borrowed: Borrowed) -> DrillRecord:
    return borrowed.rehearse_on_ours()


@when("its newest backup is rehearsed there", target_fixture="record")
def _(borrowed: Borrowed) -> DrillRecord:
    return borrowed.rehearse_there()


@when(parsers.parse("a rehearsal is attempted although {doubt}"), target_fixture="record")
def _(borrowed: Borrowed, doubt: str) -> DrillRecord:
    return borrowed.rehearse_although(doubt)


@then(parsers.parse("the rehearsal is judged {verdict:w}"))
def _(borrowed: Borrowed, record: DrillRecord, verdict: str) -> None:
    borrowed.require_verdict(record, verdict)


@then(parsers.parse("the rehearsal is refused, naming {what}"))
def _(borrowed: Borrowed, record: DrillRecord, what: str) -> None:
    borrowed.require_refused(record, what)


@then("the record names what was not drilled")
def _(borrowed: Borrowed, record: DrillRecord) -> None:
    borrowed.require_named(record)


@then("the repository and the other estate are as they were")
def _(borrowed: Borrowed) -> None:
    borrowed.require_untouched()


@then("nothing of the rehearsal is left on the DR site")
def _(borrowed: Borrowed) -> None:
    borrowed.require_cleared()


@then("nothing was written to the DR site")
def _(borrowed: Borrowed) -> None:
    borrowed.require_unwritten()
