"""The daily backup: the schedule, the confirmation, and every way to fail."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import given, parsers, then, when

from harness.core.errors import BackupFailed
from harness.drill.drill import Drill
from harness.repository.catalogue import Receipt
from harness.scenario.checks import backup as checks
from harness.scenario.checks import verdict
from harness.scenario.faults import backup as trouble

OpenIndependently = Callable[[Drill, Receipt], None]


@given("an earlier backup", target_fixture="earlier")
def _(drill: Drill) -> Receipt:
    return drill.back_up()


@given("the daily backup has run on schedule")
def _(drill: Drill) -> None:
    drill.back_up_on_schedule()


@given("a backup that is held up")
def _(drill: Drill) -> None:
    drill.hold_up = 3.0


@given(parsers.parse("a backup that was held up for {seconds:d} seconds"))
def _(drill: Drill, seconds: int) -> None:
    with trouble.held_up(drill.world.primary.place.sql, seconds):
        drill.back_up()


@when("the schedule comes due", target_fixture="receipt")
def _(drill: Drill) -> Receipt:
    return drill.back_up_on_schedule()


@when("the schedule comes due again meanwhile")
def _(drill: Drill) -> None:
    with trouble.held_up(drill.world.primary.place.sql, drill.hold_up):
        drill.back_up_on_schedule("* * * * * *")


@when("a backup is taken", target_fixture="receipt")
def _(drill: Drill) -> Receipt:
    return drill.back_up()


@when(parsers.parse("a backup is attempted with {word}"))
def _(drill: Drill, word: str) -> None:
    trouble.BACKUP_TROUBLE[word](drill.world)
    verdict.require_refused(drill.back_up, BackupFailed, "")


@then("the backup is confirmed with its path, time, size and digest")
def _(receipt: Receipt) -> None:
    checks.require_confirmed(receipt)


@then("it holds every database of the live primary")
def _(drill: Drill) -> None:
    checks.require_everything_inside(drill)


@then("the success is logged")
def _(drill: Drill) -> None:
    checks.require_logged(drill, "1.1")
    checks.require_logged(drill, "1.6")


@then("only one backup was taken at a time")
def _(drill: Drill) -> None:
    checks.require_no_overlap(drill)


@then("independent tools open it with the key of the DR site")
def _(drill: Drill, receipt: Receipt, open_independently: OpenIndependently) -> None:
    open_independently(drill, receipt)


@then("the failure is logged with its error")
def _(drill: Drill) -> None:
    checks.require_failure_logged(drill)


@then("the operations team is alerted")
def _(drill: Drill) -> None:
    checks.require_alert(drill)


@then("only the earlier backup is listed")
def _(drill: Drill, earlier: Receipt) -> None:
    drill.world.revive_offsite()
    checks.require_only(drill, [earlier.backup_id])
