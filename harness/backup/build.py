"""Builds the Backup Orchestrator of an estate from its connections."""

import secrets as random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from harness.alerts.alerts import Alerts
from harness.backup.check import require_backup
from harness.backup.orchestrator import BackupOrchestrator, reported
from harness.core.errors import UsageError
from harness.core.journal import Event, Journal
from harness.estate import existing
from harness.estate.config import Config
from harness.estate.connections import Connections
from harness.evidence.journal import JournalFile
from harness.repository.catalogue import CommittedBackup, Receipt


def orchestrator_of(connections: Connections, alerts: Alerts, journal: Journal) -> BackupOrchestrator:
    """Return the Backup Orchestrator of a primary; raises UsageError when its repository is read-only."""
    if connections.offsite.read_only:
        raise UsageError("existing.offsite.read_only: a backup cannot be written; set it to false for backups")
    return BackupOrchestrator(
        connections.config.estate.name,
        connections.live,
        connections.services,
        connections.repository,
        connections.recipients,
        alerts,
        journal,
        connections.config.backup,
    )


def backups_in(logs: Path, connections: Connections, listener: Callable[[Event], None]) -> BackupOrchestrator:
    """Return the Backup Orchestrator of an estate, with a new journal in the folder `logs`; raises UsageError."""
    return orchestrator_of(connections, Alerts(connections.config.backup.alerts), journal_in(logs, listener))


def journal_in(logs: Path, listener: Callable[[Event], None]) -> Journal:
    """Return a new journal in the folder `logs`, which is made."""
    logs.mkdir(parents=True, exist_ok=True)
    return JournalFile(logs / f"backup-{random.token_hex(4)}.jsonl", listener=listener)


def take_backup(config: Config, runs: Path, listener: Callable[[Event], None]) -> Receipt:
    """Back up the primary declared under [existing]; return the receipt. Raises UsageError, BackupFailed."""
    logs = runs.parent / "logs" / f"backup-{random.token_hex(4)}"
    alerts, journal = Alerts(config.backup.alerts), journal_in(logs, listener)
    with existing.workspace(runs, "backup", logs) as local:
        with reported(config.estate.name, alerts, journal):
            require_backup(config)
            orchestrator = orchestrator_of(existing.connect_primary(config, local), alerts, journal)
        return orchestrator.back_up()


def describe(entry: CommittedBackup, now: datetime) -> dict[str, object]:
    """Return one row of the backup list, JSON-ready: sizes in bytes, age in seconds, ratio of plain to stored size."""
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
        "covered": contents.covered,
        "uncovered": contents.uncovered,
        "excluded": contents.excluded,
        "missing": contents.missing,
    }
