"""Checks of a recovery: where it stopped, what it started, what it contained."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.journal import messages_seen
from harness.core.record import DrillRecord
from harness.core.sequence import Branch, unseen
from harness.drill.drill import Drill
from harness.scenario.checks.verdict import require


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
