"""Builds the Backup Orchestrator of an estate from its connections."""

import secrets as random
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from harness.alerts.alerts import Alerts
from harness.backup.check import require_backup
from harness.backup.orchestrator import BackupOrchestrator, reported
from harness.core.errors import Unreadable, UsageError
from harness.core.journal import Event, Journal, MemoryJournal
from harness.estate import existing
from harness.estate.config import Config
from harness.estate.connections import Connections
from harness.estate.secrets import SIGNING_KEY
from harness.evidence.journal import JournalFile
from harness.physical.source import source_at
from harness.repository.catalogue import CommittedBackup, Receipt, Repository
from harness.repository.format.manifest import Manifest
from harness.repository.lineage import broken_chains
from harness.repository.upkeep.restored import last_restored

Row = dict[str, object]


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
        signing_key_of(connections),
        alerts,
        journal,
        connections.config.backup,
        source_at(connections) if connections.config.backup.mode == "physical" else None,
    )


def signing_key_of(connections: Connections) -> str:
    """Return the reference to the writer's key, a secret of the primary. Raises UsageError that says how to make it."""
    primary = connections.live
    if SIGNING_KEY not in primary.secrets:
        raise UsageError(
            f"site {primary.site.name}: no secret {SIGNING_KEY}, which signs backups; make it with `blackstart keys "
            "new writer`, and give its public half to the DR site"
        )
    return primary.secrets[SIGNING_KEY]


def backups_in(logs: Path, connections: Connections, listener: Callable[[Event], None]) -> BackupOrchestrator:
    """Return the Backup Orchestrator of an estate, with a new journal in the folder `logs`; raises UsageError."""
    return orchestrator_of(connections, Alerts(connections.config.backup.alerts), journal_in(logs, listener))


def journal_in(logs: Path, listener: Callable[[Event], None]) -> Journal:
    """Return a new journal in the folder `logs`, which is made."""
    logs.mkdir(parents=True, exist_ok=True)
    return JournalFile(logs / f"backup-{random.token_hex(4)}.jsonl", listener=listener)


def told_journal(estate: str, alerts: Alerts, logs: Path, listener: Callable[[Event], None]) -> Journal:
    """Return `journal_in`; that it cannot be made is alerted as a failed backup. Raises OSError."""
    with reported(estate, alerts, MemoryJournal()):
        return journal_in(logs, listener)


def take_backup(config: Config, runs: Path, listener: Callable[[Event], None]) -> Receipt:
    """Back up the primary declared under [existing]; return the receipt. Raises UsageError, BackupFailed, OSError."""
    estate, alerts = config.estate.name, Alerts(config.backup.alerts)
    logs = runs.parent / "logs" / f"backup-{random.token_hex(4)}"
    journal = told_journal(estate, alerts, logs, listener)
    with ExitStack() as held:
        with reported(estate, alerts, journal):
            local = held.enter_context(existing.workspace(existing.new_run(runs, "backup"), logs))
            require_backup(config)
            orchestrator = orchestrator_of(existing.connect_primary(config, local), alerts, journal)
        return orchestrator.back_up()


def describe(
    entry: CommittedBackup,
    now: datetime,
    inside: Manifest | None,
    opened: datetime | None,
    restored: datetime | None = None,
) -> Row:
    """Return one row of the backup list, JSON-ready: sizes in bytes, age in seconds, ratio of plain to stored size.

    `inside`: its manifest, None when no key is here that opens it; `opened`: when all of it was last opened;
    `restored`: when `blackstart verify --restore` last passed it.
    """
    if entry.damaged is not None or entry.snapshot_at is None:
        return {"id": entry.backup_id, "damaged": entry.damaged}
    commit = entry.commit
    stored = entry.size
    plain = commit.plain_size if commit else inside.plain_size if inside else 0
    row: dict[str, object] = {
        "id": entry.backup_id,
        "number": commit.sequence if commit else "unsigned",
        "mode": entry.mode,
        "parent": entry.parent.backup_id if entry.parent is not None else "",
        "snapshot": entry.snapshot_at.isoformat(timespec="seconds"),
        "age_s": round((now - entry.snapshot_at).total_seconds()),
        "stored_bytes": stored,
        "ratio": round(plain / stored, 2) if stored else "",
        "opened": opened.isoformat(timespec="seconds") if opened else "never",
        "restored": restored.isoformat(timespec="seconds") if restored else "never",
    }
    if inside is None:
        return row
    contents = inside.contents
    return row | {
        "inside": [d.name for d in contents.databases] + [t.name for t in contents.trees] or list(contents.covered),
        "covered": contents.covered,
        "uncovered": contents.uncovered,
        "excluded": contents.excluded,
        "missing": contents.missing,
    }


def described_backups(repository: Repository, private_pem: bytes | None) -> tuple[list[Row], tuple[str, ...]]:
    """Return one row for each committed backup, newest first, and what contradicts their chain. Raises HarnessError.

    `private_pem`: the key that opens them; None when it is not here.
    """
    catalogue, opened, now = repository.catalogue(), repository.opened(), repository.clock.wall()
    tried = last_restored(repository)
    broken = broken_chains(catalogue.entries)
    rows = []
    for entry in catalogue.entries:
        times = opened.get(entry.digest), tried.get(entry.digest)
        row = describe(entry, now, None, *times)
        if private_pem is not None and entry.damaged is None:
            try:
                row = describe(entry, now, repository.open(entry, private_pem).manifest, *times)
            except Unreadable as error:
                row["damaged"] = str(error)
        if entry.backup_id in broken:
            row.pop("inside", None)
            row["damaged"] = broken[entry.backup_id]
        rows.append(row)
    return rows, catalogue.findings
