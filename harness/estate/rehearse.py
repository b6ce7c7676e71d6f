"""A backup and a restore drill of what stands already, from the declaration alone."""

from __future__ import annotations

import secrets as random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.budget import Promise
from harness.core.journal import Event, Journal
from harness.core.record import DrillRecord
from harness.estate.config import Config
from harness.estate.document import Paper
from harness.estate.existing import backups_of, dr_of, interlock_of, offsite_of
from harness.estate.registry import build_services, start_messages
from harness.estate.rehearsal import Rehearsal
from harness.evidence.folder import RecordFolder
from harness.evidence.journal import JournalFile
from harness.repository.catalogue import Receipt
from harness.substrate.embedded.substrate import Embedded

OBJECTIVE = "The newest backup comes back, works, and is as fresh as was promised."


@contextmanager
def desk_in(runs: Path, what: str, logs: Path) -> Iterator[Embedded]:
    """Yield where one-shot work runs on this machine, and leave nothing of it but its logs."""
    desk = Embedded(runs / f"{what}-{random.token_hex(4)}", logs)
    try:
        yield desk
    finally:
        desk.sweep()


def take_backup(config: Config, runs: Path, listener: Callable[[Event], None]) -> Receipt:
    """Take one full backup of the declared primary; return the store's confirmation.

    Raises UsageError for what is not declared, BackupFailed.
    """
    logs = runs.parent / "logs" / f"backup-{random.token_hex(4)}"
    logs.mkdir(parents=True, exist_ok=True)
    with desk_in(runs, "backup", logs) as desk:
        journal = JournalFile(logs / "journal.jsonl", listener=listener)
        return backups_of(config, desk, journal).back_up()


def rehearse(
    config: Config, promise: Promise, folder: RecordFolder, journal: Journal, paper: Paper, runs: Path
) -> DrillRecord:
    """Carry out one restore drill on the declared DR site and return its record; raises UsageError before it begins."""
    with desk_in(runs, "rehearse", folder.logs) as desk:
        return rehearsal_of(config, desk, promise, folder, journal, paper).run()


def rehearsal_of(
    config: Config, desk: Embedded, promise: Promise, folder: RecordFolder, journal: Journal, paper: Paper
) -> Rehearsal:
    """Return the restore drill on the declared DR site; raises UsageError.

    What would act on the world is held reversibly there, as on the day itself: the workloads are configured for that
    day, and have no sink of ours.
    """
    _, repository = offsite_of(config)
    dr = dr_of(config, desk)
    return Rehearsal(
        name="restore drill",
        objective=OBJECTIVE,
        estate=config.estate.name,
        public_name=config.public_name,
        dr=dr,
        services=build_services(config),
        repository=repository,
        private_key_ref=dr.secrets["recipient.pem"],
        client_secrets=dr.secrets,
        where=lambda: dr.address_of("gateway"),
        promise=promise,
        folder=folder,
        journal=journal,
        paper=paper,
        interlock=interlock_of(config, dr, repository),
        start_messages=start_messages(config),
    )
