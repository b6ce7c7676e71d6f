"""Checks of a recovery: phase of its failure, started services, contained actions."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.journal import messages_seen
from harness.core.record import DrillRecord
from harness.core.sequence import Branch, unseen
from harness.core.service import Containable
from harness.drill.drill import Drill
from harness.estate.config import Config
from harness.estate.registry import not_contained
from harness.estate.site import INFRASTRUCTURE
from harness.patience import PATIENCE
from harness.recovery.key_functions import ROUNDS
from harness.scenario.checks.verdict import require
from harness.traffic.door import served_by

KNOWN_SENDERS = ("example-", "ledger-", "attached-", "key-")  # prefixes of seed, ledgers and key functions


def require_stopped(drill: Drill, at: Sequence[str]) -> None:
    """Raise Finding unless the recovery stopped in one of these phases, logged as 2.5.1 and 2.5.2."""
    require(drill.stopped in at, f"the recovery did not stop in {' or '.join(at)} but in {drill.stopped or 'none'}")
    lacking = unseen(messages_seen(drill.journal.events), Branch.RESTORE_FAILURE)
    require(not lacking, f"messages not seen: {', '.join(lacking)}")


def require_nothing_started(drill: Drill) -> None:
    """Raise Finding when a service runs on DR or traffic was switched."""
    running = set(drill.environment.dr.nodes) - set(INFRASTRUCTURE)
    require(not running, f"started although the restore failed: {', '.join(sorted(running))}")
    routed = [e for e in drill.journal.events if e.message in ("2.6", "2.7")]
    require(not routed, "services were started or traffic was switched although the restore failed")
    address = drill.environment.opened_edge.names.resolve(drill.environment.config.public_name)
    require(address == drill.environment.config.sites.primary.edge, f"the public name was switched to {address}")


def require_key_function_failed(drill: Drill, word: str) -> None:
    """Raise Finding unless a key function whose name contains `word` failed."""
    failed = [e for e in drill.journal.events if e.kind == "key function" and not e.facts["passed"]]
    names = [e.subject for e in failed]
    require(any(word in name for name in names), f"no key function {word!r} failed; failed: {names}")


def require_key_functions_passed(record: DrillRecord, service: str) -> None:
    """Raise Finding unless all key functions of that service passed in every round."""
    results = [result for result in record.key_results if result.service == service]
    require(results, f"no key function of {service} was tested")
    names = {result.name for result in results}
    failed = sorted({result.name for result in results if not result.passed})
    require(not failed, f"key functions of {service} failed: {', '.join(failed)}")
    short = [name for name in names if sum(result.name == name for result in results) < ROUNDS]
    require(not short, f"tested in fewer than {ROUNDS} rounds: {', '.join(sorted(short))}")


def require_restored_from(record: DrillRecord, *modes: str) -> None:
    """Raise Finding unless the databases came back in one mode: `physical`, `standby`, or `logical`: from dumps."""
    found = record.backup.get("mode", "none")
    require(found in modes, f"the databases were restored in mode {found}, not {' or '.join(modes)}")


def require_declared_mode(record: DrillRecord, config: Config) -> None:
    """Raise Finding unless the databases came back as declared: in the mode of backups, or from a warm standby."""
    warm = ("standby",) if config.sites.dr.strategy == "warm" else ()
    require_restored_from(record, config.backup.mode, *warm)


def require_contained(drill: Drill) -> None:
    """Raise Finding unless all was contained before the first start and only known senders were delivered."""
    contained = {event.subject: event for event in drill.journal.events if event.kind == "contained"}
    expected = {service.name for service in drill.environment.services if isinstance(service, Containable)}
    uncontained = not_contained(drill.environment.config, drill.environment.services)  # named in the record
    require(expected or uncontained, "this estate has no service with outbound actions: inconclusive")
    require(expected == set(contained), f"contained: {sorted(contained)}; expected: {sorted(expected)}")
    silent = [name for name, event in contained.items() if not event.facts.get("actions")]
    require(not silent, f"the journal names no contained action of {', '.join(sorted(silent))}")
    since = drill.struck.at if drill.struck else 0.0
    started = [event.at for event in drill.journal.events if event.kind == "starting" and event.at > since]
    require(started, "no service was started on the DR site")
    last = max((event.at for event in contained.values()), default=since)
    require(last < min(started), "a service was started before it was contained")
    unknown = [d.reference for d in drill.environment.receiver.deliveries if not d.reference.startswith(KNOWN_SENDERS)]
    require(not unknown, f"the restored copy sent messages of unknown senders: {', '.join(unknown)}")


def require_served_by(drill: Drill, site: str) -> None:
    """Require that the site answers clients on new connections; raises TookTooLong."""

    def answered() -> None:
        if (by := served_by(drill.environment.door)) != site:
            raise NotYet(f"clients are answered by {by}, not by {site}")

    wait_until(
        answered, patience=PATIENCE.served_by, on=(NotYet, HarnessError, OSError), what=f"clients served by {site}"
    )
