"""The estate by hand: kept up, backed up, released."""

from __future__ import annotations

import secrets as random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event as Flag

from harness.alerts.alerts import Alerts
from harness.core.errors import HarnessError
from harness.core.journal import Event, Journal, MemoryJournal
from harness.estate.backup import BackupOrchestrator
from harness.estate.config import Config
from harness.estate.hold import let_go
from harness.estate.live import Live, address, repository_at, site_of
from harness.estate.prepare import prepare
from harness.estate.registry import build_services
from harness.estate.secrets import Secrets
from harness.estate.world import World
from harness.evidence.journal import JournalFile
from harness.repository.catalogue import CommittedBackup


def hold_open(config: Config, runs: Path, at: Path, say: Callable[[str], None], until: Flag | None = None) -> None:
    """Start the example estate, write where it is to `at`, and keep it up until Ctrl-C or `until` is set."""
    if at.exists():
        raise HarnessError(
            f"{at}: an estate is up here, or ended badly; end it, or run `blackstart sweep` and remove it"
        )
    run = (runs / f"up-{random.token_hex(4)}").resolve()
    world = World(config, prepare(config, say), run, run / "logs", MemoryJournal())
    try:
        world.start_data()
        world.start_services()
        live_of(world).write(at)
        say(f"the estate {config.estate.name} is up; its parts are in {at}; Ctrl-C ends it")
        (until or Flag()).wait()
    finally:
        at.unlink(missing_ok=True)
        world.close()


def live_of(world: World) -> Live:
    """Return where the parts of a running estate are."""
    place, edge = world.primary.place, world.opened_edge
    port = edge.front.node.endpoint("http").outside.port
    return Live(
        estate=world.config.estate.name,
        site="primary",
        run=str(world.run),
        logs=str(world.logs),
        secrets=str(world.secrets.root),
        sql=str(place.sql.outside),
        s3=str(place.s3.outside),
        offsite=str(world.offsite_s3.outside),
        public=f"{world.config.sites.primary.edge}:{port}",
        names=str(edge.names.address),
    )


def orchestrator_of(config: Config, live: Live, listener: Callable[[Event], None]) -> BackupOrchestrator:
    """Return the Backup Orchestrator of an estate that is up; it logs to `backup.jsonl` beside the estate's logs."""
    logs = Path(live.logs)
    logs.mkdir(parents=True, exist_ok=True)
    secrets = Secrets(Path(live.secrets))
    return BackupOrchestrator(
        config.estate.name,
        site_of(live),
        build_services(config),
        repository_at(address(live.offsite), secrets, config.estate.name),
        lambda: secrets.recipients,
        Alerts(config.backup.alerts),
        JournalFile(logs / f"backup-{random.token_hex(4)}.jsonl", listener=listener),
    )


def release_live(config: Config, live: Live, journal: Journal) -> Live:
    """Let go what a recovery held; return the estate's file with nothing held any more."""
    let_go(build_services(config), site_of(live).place, live.held, journal)
    return replace(live, held=())


def describe(entry: CommittedBackup, now: datetime) -> dict[str, object]:
    """Return a line of the list of backups, JSON-ready: sizes in bytes, age in seconds, ratio plain to stored."""
    if entry.damaged is not None:
        return {"id": entry.backup_id, "damaged": entry.damaged}
    contents = entry.manifest.contents
    return {
        "id": entry.backup_id,
        "snapshot": contents.snapshot_at.isoformat(timespec="seconds"),
        "age_s": round((now - contents.snapshot_at).total_seconds()),
        "stored_bytes": entry.size,
        "ratio": round(entry.plain_size / entry.size, 2),
        "inside": [d.name for d in contents.databases] + [t.name for t in contents.trees],
    }
