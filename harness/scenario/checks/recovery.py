"""Checks of a recovery: where it stopped, what it started, what it contained, who answers clients."""

from collections.abc import Sequence

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.journal import messages_seen
from harness.core.record import DrillRecord
from harness.core.sequence import Branch, unseen
from harness.core.service import Containable
from harness.drill.drill import Drill
from harness.estate.site import INFRASTRUCTURE
from harness.patience import PATIENCE
from harness.recovery.key_functions import ROUNDS
from harness.scenario.checks.verdict import require
from harness.traffic.door import served_by

KNOWN_SENDERS = ("example-", "ledger-", "key-")  # queued by the seed, by the client load, by the key functions


def require_stopped(drill: Drill, at: Sequence[str]) -> None:
    """The recovery stopped in one of these phases, logged as 2.5.1 and 2.5.2."""
    require(drill.stopped in at, f"the recovery did not stop in {' or '.join(at)} but in {drill.stopped or 'none'}")
    lacking = unseen(messages_seen(drill.journal.events), Branch.RESTORE_FAILURE)
    require(not lacking, f"messages not seen: {', '.join(lacking)}")


def require_nothing_started(drill: Drill) -> None:
    """No service runs on DR, and clients are led nowhere new."""
    running = set(drill.environment.dr.nodes) - set(INFRASTRUCTURE)
    require(not running, f"started although the restore failed: {', '.join(sorted(running))}")
    routed = [e for e in drill.journal.events if e.message in ("2.6", "2.7")]
    require(not routed, "services were started or traffic was switched although the restore failed")
    address = drill.environment.opened_edge.names.resolve(drill.environment.config.public_name)
    require(address == drill.environment.config.sites.primary.edge, f"the public name was switched to {address}")


def require_key_function_failed(drill: Drill, word: str) -> None:
    """A key function of that name failed."""
    failed = [e for e in drill.journal.events if e.kind == "key function" and not e.facts["passed"]]
    names = [e.subject for e in failed]
    require(any(word in name for name in names), f"no key function {word!r} failed; failed: {names}")


def require_key_functions_held(record: DrillRecord, service: str) -> None:
    """All key functions of that service passed in every one of the rounds."""
    results = [result for result in record.key_results if result.service == service]
    require(results, f"no key function of {service} was tested")
    names = {result.name for result in results}
    failed = sorted({result.name for result in results if not result.passed})
    require(not failed, f"key functions of {service} failed: {', '.join(failed)}")
    short = [name for name in names if sum(result.name == name for result in results) < ROUNDS]
    require(not short, f"tested in fewer than {ROUNDS} rounds: {', '.join(sorted(short))}")


def require_contained(drill: Drill) -> None:
    """Every service that can be contained was, before any service started; no message left before its release.

    The drill's receiver stands for the world: whatever came there must be a message that was queued before the strike.
    """
    contained = {event.subject: event for event in drill.journal.events if event.kind == "contained"}
    expected = {service.name for service in drill.environment.services if isinstance(service, Containable)}
    require(expected, "this estate has no service that acts on the world: nothing was shown")
    require(expected == set(contained), f"contained: {sorted(contained)}; that can be: {sorted(expected)}")
    silent = [name for name, event in contained.items() if not event.facts.get("actions")]
    require(not silent, f"nothing is said of what was contained of {', '.join(sorted(silent))}")
    since = drill.struck.at if drill.struck else 0.0
    started = [event.at for event in drill.journal.events if event.kind == "starting" and event.at > since]
    require(started, "no service was started on the DR site")
    require(
        max(event.at for event in contained.values()) < min(started), "a service was started before it was contained"
    )
    unknown = [d.reference for d in drill.environment.receiver.deliveries if not d.reference.startswith(KNOWN_SENDERS)]
    require(not unknown, f"the restored copy sent what nobody had queued: {', '.join(unknown)}")


def require_served_by(drill: Drill, site: str) -> None:
    """That site answers clients, over new connections. Raises TookTooLong."""

    def answered() -> None:
        if (by := served_by(drill.environment.door)) != site:
            raise NotYet(f"clients are answered by {by}, not by {site}")

    wait_until(
        answered, patience=PATIENCE.served_by, on=(NotYet, HarnessError, OSError), what=f"clients served by {site}"
    )
