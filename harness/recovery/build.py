"""Builds the recovery of an estate, for a drill, a restore test and `blackstart recover`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.journal import Journal
from harness.core.service import Containment, Sql
from harness.estate.connections import Connections
from harness.estate.registry import entry_of, start_messages
from harness.estate.secrets import PRIVATE_KEY
from harness.recovery.assertions import run_assertions
from harness.recovery.choose_server import Standby
from harness.recovery.recovery import Recovery, TrafficRouter


def recovery_of(
    connections: Connections,
    router: TrafficRouter,
    journal: Journal,
    containment: Containment,
    *,
    freshness: Callable[[Sql], bool | None] = lambda _sql: None,
    on_bytes: Callable[[int], None] = lambda _count: None,
    run: Path | None = None,
    standby: Standby | None = None,
) -> Recovery:
    """Return the recovery onto the DR site; raises UsageError when that site has no private key for backups.

    `run`: the run folder of a DR site that blackstart makes itself: there a base backup can replace the data folder.
    `standby`: follows the primary there, and is promoted.
    """
    dr, config = connections.recovered, connections.config
    back = dr.site.name == "primary"  # a failback: the rebuilt primary is recovered
    if PRIVATE_KEY not in dr.secrets:
        raise UsageError(f"site {dr.site.name}: no secret {PRIVATE_KEY}; add it; it opens the backups")
    return Recovery(
        dr=dr,
        services=connections.services,
        repository=connections.repository,
        private_key_ref=dr.secrets[PRIVATE_KEY],
        router=router,
        dr_edge=(config.sites.primary if back else config.sites.dr).edge,
        leads_to="primary" if back else "dr",
        entry=entry_of(config),
        client_secrets=connections.client_secrets,
        journal=journal,
        containment=containment,
        freshness=freshness,
        assertions=partial(run_assertions, config),
        start_messages=start_messages(config),
        on_bytes=on_bytes,
        parallel=config.backup.parallel,
        allowed=config.restore.allowed,
        run=run if config.backup.mode == "physical" else None,
        standby=standby,
    )
