"""Checks of backups, their log entries and their alerts."""

from collections.abc import Sequence

from harness.core.clock import wait_until
from harness.core.errors import Finding
from harness.core.journal import Event
from harness.drill.drill import Drill
from harness.estate.secrets import PRIVATE_KEY
from harness.patience import PATIENCE
from harness.postgres.identity import databases
from harness.repository.catalogue import Receipt
from harness.scenario.checks.verdict import require
from harness.vault import read_secret


def require_confirmed(receipt: Receipt) -> None:
    """Raise Finding unless the receipt has path, time, size and digest."""
    fields = (receipt.path, receipt.committed_at, receipt.size, receipt.digest)
    require(all(fields), f"the confirmation of {receipt.backup_id} lacks a path, a time, a size or a digest")
    require(receipt.size < receipt.plain_size, "the backup is not smaller than its contents")


def require_everything_inside(drill: Drill) -> None:
    """Raise Finding unless the newest backup contains every database of the primary, with rows."""
    repository, key = drill.environment.repository, drill.environment.secrets.of("dr")[PRIVATE_KEY]
    newest = repository.open(repository.committed()[0], read_secret(key)).manifest.contents
    inside = {d.name for d in newest.databases}
    live = set(databases(drill.environment.primary.place.sql))
    require(inside == live, f"the backup contains {sorted(inside)}, the primary {sorted(live)}")
    empty = [d.name for d in newest.databases if not d.rows]
    require(not empty, f"no rows in {', '.join(empty)}")


def require_only(drill: Drill, backups: Sequence[str]) -> None:
    """Raise Finding unless the repository lists exactly these backups."""
    listed = [b.backup_id for b in drill.environment.repository.committed() if b.damaged is None]
    require(sorted(listed) == sorted(backups), f"listed: {listed}; expected: {list(backups)}")


def require_logged(drill: Drill, number: str) -> Event:
    """Return the journal event of that message; raises Finding without one."""
    found = [e for e in drill.journal.events if e.message == number]
    require(found, f"message {number} was not logged")
    return found[-1]


def require_no_overlap(drill: Drill) -> None:
    """Raise Finding unless the schedule fired again during a backup and only one backup was taken."""
    begun = [e for e in drill.journal.events if e.message == "1.2"]
    ended = [e for e in drill.journal.events if e.message in ("1.6", "1.7.1")]
    require(len(begun) == len(ended) == 1, f"{len(begun)} backups began and {len(ended)} ended")
    dropped = [e for e in drill.journal.events if e.kind == "dropped" and begun[0].at < e.at < ended[0].at]
    require(dropped, "the schedule did not fire again during the backup: inconclusive")


def require_failure_logged(drill: Drill, failure: str) -> None:
    """Raise Finding unless 1.7.1 was logged with the error of the backup."""
    error = str(require_logged(drill, "1.7.1").facts.get("error", ""))
    require(error and error in failure, f"the backup failed with {failure!r}, the log says {error!r}")


def require_missing_named(receipt: Receipt) -> None:
    """Raise Finding unless the backup names one file that is missing, and contains all others."""
    contents = receipt.contents
    require(len(contents.missing) == 1, f"missing by the backup: {list(contents.missing)}; expected: one file")
    require(any(tree.missing and tree.files for tree in contents.trees), "no other file is in the backup")


def require_alert(drill: Drill) -> None:
    """Raise Finding unless 1.7.2 was logged; wait until the alert has arrived."""
    event = require_logged(drill, "1.7.2")
    require(event.facts.get("sent"), "the alert was not sent")
    _await_alert(drill, "failed")


def require_alert_of_missing(drill: Drill) -> None:
    """Wait until the alert about a backup without a file has arrived; raises Finding."""
    _await_alert(drill, "is incomplete")


def _await_alert(drill: Drill, what: str) -> None:
    sink = drill.environment.alert_sink

    def arrived() -> None:
        require([alert for alert in sink.received if what in alert.title], f"no alert {what!r} has arrived")

    wait_until(arrived, patience=PATIENCE.alert, on=Finding, what="the alert")
