"""Steps of the daily backup: schedule, confirmation, failure."""

from collections.abc import Callable

from pytest_bdd import given, then, when

from harness.drill.drill import Drill
from harness.repository.catalogue import Receipt
from harness.scenario.checks import backup as checks
from harness.scenario.faults.fault import Scene
from harness.scenario.object_lock import lock_backups, require_undeletable

OpenIndependently = Callable[[Drill, Receipt], None]


@given("an earlier backup", target_fixture="earlier")
def _(drill: Drill) -> Receipt:
    return drill.back_up()


@given("a newer backup", target_fixture="newer")
def _(drill: Drill) -> Receipt:
    return drill.back_up()


@given("an offsite store that locks each backup for a day")
def _(drill: Drill) -> None:
    lock_backups(drill, days=1)


@then("an administrator of the store cannot delete it")
def _(drill: Drill, receipt: Receipt) -> None:
    require_undeletable(drill, receipt)


@given("the daily backup has run on schedule")
def _(drill: Drill) -> None:
    drill.back_up_on_schedule()


@when("the schedule fires", target_fixture="receipt")
def _(drill: Drill) -> Receipt:
    return drill.back_up_on_schedule()


@when("the schedule fires again during the backup")
def _(drill: Drill) -> None:
    drill.back_up_on_schedule("* * * * * *")


@when("a backup is taken", target_fixture="receipt")
def _(drill: Drill) -> Receipt:
    return drill.back_up()


@then("the backup is confirmed with its path, time, size and digest")
def _(receipt: Receipt) -> None:
    checks.require_confirmed(receipt)


@then("it contains every database of the primary")
def _(drill: Drill) -> None:
    checks.require_everything_inside(drill)


@then("the success is logged")
def _(drill: Drill) -> None:
    checks.require_logged(drill, "1.1")
    checks.require_logged(drill, "1.6")


@then("the backups did not overlap")
def _(drill: Drill) -> None:
    checks.require_no_overlap(drill)


@then("independent tools open it with the key of the DR site")
def _(drill: Drill, receipt: Receipt, open_independently: OpenIndependently) -> None:
    open_independently(drill, receipt)


@then("the failure is logged with its error")
def _(drill: Drill, scene: Scene) -> None:
    checks.require_failure_logged(drill, scene.failure)


@then("the operations team is alerted")
def _(drill: Drill) -> None:
    checks.require_alert(drill)


@then("the backup names the missing attachment")
def _(receipt: Receipt) -> None:
    checks.require_missing_named(receipt)


@then("the operations team is alerted to it")
def _(drill: Drill) -> None:
    checks.require_alert_of_missing(drill)


@then("only the earlier backup is listed")
def _(drill: Drill, scene: Scene, earlier: Receipt) -> None:
    scene.undo()
    checks.require_only(drill, [earlier.backup_id])
