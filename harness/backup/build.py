"""Builds the Backup Orchestrator of an estate: one that is up, or one that is declared under [existing]."""

from __future__ import annotations

import secrets as random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from harness.alerts.alerts import Alerts
from harness.backup.orchestrator import BackupOrchestrator
from harness.core.errors import UsageError
from harness.core.journal import Event, Journal
from harness.estate.config import Config
from harness.estate.existing import declared, desk_in, existing_estate, offsite_of
from harness.estate.registry import build_services
from harness.estate.secrets import RECIPIENTS, Secrets
from harness.estate.state_file import Live, address, repository_at, site_of
from harness.evidence.journal import JournalFile
from harness.repository.catalogue import CommittedBackup, Receipt
from harness.substrate.embedded.substrate import Embedded
from harness.vault import read_text_secret


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


def backups_of(config: Config, desk: Embedded, journal: Journal) -> BackupOrchestrator:
    """Return the Backup Orchestrator of a primary that stands, into the declared repository. Raises UsageError."""
    table = declared(config).primary
    offsite, repository = offsite_of(config)
    if table is None:
        raise UsageError(f"estate {config.estate.name}: no site is declared under [existing.primary]")
    if offsite.read_only:
        raise UsageError("existing.offsite.read_only: a backup has to be written; set it to false where one is taken")
    services = build_services(config)
    needed = {name for service in services for name in service.sources().fingerprints}
    primary = existing_estate("primary", table, desk, {}, *RECIPIENTS, *sorted(needed))
    return BackupOrchestrator(
        config.estate.name,
        primary,
        services,
        repository,
        lambda: tuple(read_text_secret(primary.secrets[name]) for name in RECIPIENTS),
        Alerts(config.backup.alerts),
        journal,
    )


def take_backup(config: Config, runs: Path, listener: Callable[[Event], None]) -> Receipt:
    """Take one full backup of the declared primary; return the store's confirmation.

    Raises UsageError for what is not declared, BackupFailed.
    """
    logs = runs.parent / "logs" / f"backup-{random.token_hex(4)}"
    logs.mkdir(parents=True, exist_ok=True)
    with desk_in(runs, "backup", logs) as desk:
        journal = JournalFile(logs / "journal.jsonl", listener=listener)
        return backups_of(config, desk, journal).back_up()
