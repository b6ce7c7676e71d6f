"""Builds the Backup Orchestrator of an estate, however its parts are reached."""

from __future__ import annotations

import secrets as random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from harness.alerts.alerts import Alerts
from harness.backup.orchestrator import BackupOrchestrator
from harness.core.errors import UsageError
from harness.core.journal import Event, Journal
from harness.estate import existing
from harness.estate.config import Config
from harness.estate.connections import Connections
from harness.evidence.journal import JournalFile
from harness.repository.catalogue import CommittedBackup, Receipt


def orchestrator_of(connections: Connections, alerts: Alerts, journal: Journal) -> BackupOrchestrator:
    """Return the Backup Orchestrator of a primary. Raises UsageError where its repository may not be written."""
    if connections.offsite.read_only:
        raise UsageError("existing.offsite.read_only: a backup has to be written; set it to false where one is taken")
    return BackupOrchestrator(
        connections.config.estate.name,
        connections.live,
        connections.services,
        connections.repository,
        connections.recipients,
        alerts,
        journal,
    )


def backups_in(logs: Path, connections: Connections, listener: Callable[[Event], None]) -> BackupOrchestrator:
    """Return the Backup Orchestrator of an estate, which logs to a journal of its own in the folder `logs`."""
    logs.mkdir(parents=True, exist_ok=True)
    journal = JournalFile(logs / f"backup-{random.token_hex(4)}.jsonl", listener=listener)
    return orchestrator_of(connections, Alerts(connections.config.backup.alerts), journal)


def take_backup(config: Config, runs: Path, listener: Callable[[Event], None]) -> Receipt:
    """Take one full backup of the primary that is declared under [existing]; return the store's confirmation.

    Raises UsageError for what is not declared, BackupFailed.
    """
    logs = runs.parent / "logs" / f"backup-{random.token_hex(4)}"
    with existing.workspace(runs, "backup", logs) as local:
        return backups_in(logs, existing.connect_primary(config, local), listener).back_up()


def describe(entry: CommittedBackup, now: datetime) -> dict[str, object]:
    """Return a line of the list of backups, JSON-ready: sizes in bytes, age in seconds, ratio plain to stored."""
    if entry.damaged is not None:
        return {"id": entry.backup_id, "damaged": entry.damaged}
    manifest, contents = entry.manifest, entry.manifest.contents
    return {
        "id": entry.backup_id,
        "snapshot": contents.snapshot_at.isoformat(timespec="seconds"),
        "age_s": round((now - contents.snapshot_at).total_seconds()),
        "stored_bytes": manifest.size,
        "ratio": round(manifest.plain_size / manifest.size, 2),
        "inside": [d.name for d in contents.databases] + [t.name for t in contents.trees],
    }
