"""The mission's messages, as numbered in its sequence diagram."""

from dataclasses import dataclass
from enum import StrEnum


class Branch(StrEnum):
    """Path of the sequence diagram that a message belongs to."""

    MAIN = "main"
    BACKUP_FAILURE = "backup failure"
    RESTORE_FAILURE = "restore failure"


@dataclass(frozen=True, slots=True)
class Message:
    """One numbered message: its title, and the path of its code."""

    number: str
    title: str
    where: str
    branch: Branch = Branch.MAIN


MESSAGES = (
    Message("1.1", "Trigger daily backup (scheduled)", "harness/backup/schedule.py"),
    Message("1.2", "Initiate full backup of the live primary", "harness/backup/orchestrator.py"),
    Message("1.3", "Compress backup data", "harness/repository/format/frames.py"),
    Message("1.4", "Encrypt backup data (AES-256)", "harness/repository/format/seal.py"),
    Message("1.5", "Store encrypted backup offsite", "harness/repository/catalogue.py"),
    Message("1.6", "Log backup status: success, path, size", "harness/backup/orchestrator.py"),
    Message(
        "1.7.1", "Log backup status: failure, error details", "harness/backup/orchestrator.py", Branch.BACKUP_FAILURE
    ),
    Message("1.7.2", "Send backup failure alert", "harness/alerts/", Branch.BACKUP_FAILURE),
    Message("2.1", "Simulate primary failure, initiate DR test", "harness/drill/strike.py"),
    Message("2.2", "Activate DR site infrastructure", "harness/recovery/recovery.py"),
    Message("2.3", "Request latest valid backup", "harness/repository/catalogue.py"),
    Message("2.4", "Restore database on the DR instance", "harness/recovery/recovery.py"),
    Message("2.4.1", "Decrypt and decompress", "harness/repository/pipeline.py"),
    Message("2.4.2", "Execute restore", "harness/recovery/restore_databases.py"),
    Message("2.5.1", "Log DR restore failure", "harness/recovery/recovery.py", Branch.RESTORE_FAILURE),
    Message("2.5.2", "Stop: the DR test failed", "harness/recovery/recovery.py", Branch.RESTORE_FAILURE),
    Message("2.6", "Start critical services with DR configuration", "harness/recovery/recovery.py"),
    Message("2.6.1", "Start Odoo on the DR database", "harness/services/odoo/app.py"),
    Message("2.6.1.1", "Odoo connects to the DR database", "harness/postgres/checks.py"),
    Message("2.6.2", "Start n8n on the DR database", "harness/services/n8n/app.py"),
    Message("2.6.2.1", "n8n connects to the DR database", "harness/postgres/checks.py"),
    Message("2.7", "Update DNS, activate DR traffic routing", "harness/traffic/"),
    Message("2.8.1", "Key function test: Odoo", "harness/services/odoo/keys.py"),
    Message("2.8.2", "Key function test: n8n", "harness/services/n8n/keys.py"),
    Message("2.9", "Document the results", "harness/evidence/folder.py"),
    Message("2.10", "Refine the procedure", "harness/evidence/refine.py"),
)


def expected(branch: Branch) -> tuple[str, ...]:
    """Return the numbers that a run of `branch` must journal."""
    return tuple(message.number for message in MESSAGES if message.branch is branch)


def unseen(seen: tuple[str, ...], branch: Branch = Branch.MAIN) -> tuple[str, ...]:
    """Return the numbers that a run of `branch` must journal and that are not in `seen`."""
    return tuple(number for number in expected(branch) if number not in seen)
