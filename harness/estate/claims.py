"""What the Then steps ask of a drill: each raises Finding with one line, or returns nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.core.clock import wait_until
from harness.core.errors import Finding, HarnessError
from harness.core.journal import Event, messages_seen
from harness.core.judge import Verdict
from harness.core.record import DrillRecord
from harness.core.sequence import Branch, unseen
from harness.estate.drill import Drill
from harness.postgres.identity import databases
from harness.repository.catalogue import Receipt

ALERT_PATIENCE = 10.0


def require(truth: object, otherwise: str) -> None:
    """Raise Finding with `otherwise` unless `truth`."""
    if not truth:
        raise Finding(otherwise)


def require_verdict(record: DrillRecord, verdict: str, because: str = "") -> None:
    """The record says so, for that reason."""
    found = "; ".join(record.reasons)
    if record.verdict == Verdict.UNKNOWN != verdict:
        raise HarnessError(f"judged UNKNOWN, not {verdict}: {found or 'no reason given'}")
    require(record.verdict == verdict, f"judged {record.verdict}, not {verdict}: {found or 'no reason given'}")
    require(because in found, f"judged {verdict}, but not because of {because}: {found}")


def require_all_messages(record: DrillRecord) -> None:
    """Every message of the mission's main path is in the record."""
    lacking = unseen(tuple(m.number for m in record.messages), Branch.MAIN)
    require(not lacking, f"messages not seen: {', '.join(lacking)}")


def require_stopped(drill: Drill, at: Sequence[str]) -> None:
    """The recovery stopped in one of these phases, logged as 2.5.1 and 2.5.2."""
    stopped = drill.recovery.stopped
    require(
        stopped.split(":")[0] in at, f"the recovery did not stop at {' or '.join(at)} but at {stopped or 'nothing'}"
    )
    lacking = unseen(messages_seen(drill.journal.events), Branch.RESTORE_FAILURE)
    require(not lacking, f"messages not seen: {', '.join(lacking)}")


def require_nothing_started(drill: Drill) -> None:
    """No service stands on DR, and clients are led nowhere new."""
    standing = set(drill.world.dr.nodes) - {"postgres", "objects"}
    require(not standing, f"started although the restore failed: {', '.join(sorted(standing))}")
    routed = [e for e in drill.journal.events if e.message in ("2.6", "2.7")]
    require(not routed, "services were started or traffic was switched although the restore failed")
    address = drill.world.opened_edge.names.resolve(drill.world.config.public_name)
    require(address == drill.world.config.sites.primary.edge, f"the public name was switched to {address}")


def require_confirmed(receipt: Receipt) -> None:
    """The offsite store confirmed path, time, size and digest."""
    fields = (receipt.path, receipt.committed_at, receipt.size, receipt.digest)
    require(all(fields), f"the confirmation of {receipt.backup_id} lacks a path, a time, a size or a digest")
    require(receipt.size < receipt.plain_size, "the backup is not smaller than what it holds")


def require_everything_inside(drill: Drill) -> None:
    """The newest backup holds every database of the primary, and rows in each."""
    newest = drill.world.repository.committed()[0]
    inside = {d.name for d in newest.manifest.contents.databases}
    live = set(databases(drill.world.primary.place.sql))
    require(inside == live, f"the backup holds {sorted(inside)}, the primary {sorted(live)}")
    empty = [d.name for d in newest.manifest.contents.databases if not d.rows]
    require(not empty, f"no rows in {', '.join(empty)}")


def require_only(drill: Drill, backups: Sequence[str]) -> None:
    """The repository lists these and no others, and nothing of a failed one is left to be mistaken."""
    listed = [b.backup_id for b in drill.world.repository.committed() if b.damaged is None]
    require(sorted(listed) == sorted(backups), f"listed: {listed}; expected: {list(backups)}")


def require_logged(drill: Drill, number: str) -> Event:
    """The journal holds that message; return its event."""
    found = [e for e in drill.journal.events if e.message == number]
    require(found, f"message {number} was not logged")
    return found[-1]


def require_no_overlap(drill: Drill) -> None:
    """While the schedule fired more than once, one backup was under way at a time, and one only was taken."""
    begun = [e for e in drill.journal.events if e.message == "1.2"]
    ended = [e for e in drill.journal.events if e.message in ("1.6", "1.7.1")]
    require(len(begun) == len(ended) == 1, f"{len(begun)} backups began and {len(ended)} ended")
    dropped = [e for e in drill.journal.events if e.kind == "dropped" and begun[0].at < e.at < ended[0].at]
    require(dropped, "the schedule did not come due again while the backup was under way: nothing was shown")


def require_failure_logged(drill: Drill) -> None:
    """1.7.1 with the error in detail."""
    event = require_logged(drill, "1.7.1")
    require(str(event.facts.get("error", "")), "the failure was logged without its error")


def require_alert(drill: Drill) -> None:
    """1.7.2, and the alert arrived where alerts go."""
    event = require_logged(drill, "1.7.2")
    require(event.facts.get("sent"), "the alert was not sent")
    sink = drill.world.alert_sink

    def arrived() -> None:
        require(sink.received, "the alert was sent and did not arrive")

    wait_until(arrived, patience=ALERT_PATIENCE, on=Finding, what="the alert")


def require_key_function_failed(drill: Drill, word: str) -> None:
    """A key function of that name failed."""
    failed = [e for e in drill.journal.events if e.kind == "key function" and not e.facts["passed"]]
    names = [e.subject for e in failed]
    require(any(word in name for name in names), f"no key function {word!r} failed; failed: {names}")


def require_key_functions_held(record: DrillRecord, service: str) -> None:
    """All key functions of that service passed in every round."""
    results = [r for r in record.key_results if r.service == service]
    require(results, f"no key function of {service} was tested")
    require(all(r.passed for r in results), f"a key function of {service} failed")


def require_contained(drill: Drill) -> None:
    """Something was held back for each service that acts on the world, before it started."""
    held = [e for e in drill.journal.events if e.kind == "held back"]
    started = [
        e for e in drill.journal.events if e.kind == "starting" and e.at > (drill.struck.at if drill.struck else 0)
    ]
    require(held and started, "nothing was held back, or nothing was started")
    require(max(e.at for e in held) < min(e.at for e in started), "a service was started before it was contained")


def require_whole_record(record: DrillRecord) -> None:
    """What an auditor looks for is there."""
    facts = {
        "objective": record.objective,
        "initiator": record.initiator,
        "commit": record.commit,
        "hashes": record.hashes,
        "phases": record.phases,
        "messages": record.messages,
        "versions": record.versions,
        "backup": record.backup,
        "size in bytes": record.data_bytes,
        "size in rows": record.data_rows,
    }
    lacking = [name for name, value in facts.items() if not value]
    require(not lacking, f"the record lacks {', '.join(lacking)}")


def require_refused(work: Callable[[], object], kind: type[Exception], word: str) -> None:
    """`work` is refused for a reason that holds `word`."""
    try:
        work()
    except kind as error:
        require(word in str(error), f"refused, but for another reason: {error}")
    else:
        raise Finding(f"not refused: {word}")
