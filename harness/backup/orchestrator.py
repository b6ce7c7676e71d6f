"""Backup Orchestrator: messages 1.2 to 1.7.2."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from harness.alerts.alerts import Alerts, mark_alert
from harness.backup.plan import plan_of
from harness.backup.work import Work
from harness.core.contents import Contents
from harness.core.errors import BackupFailed, HarnessError, described, reason_of
from harness.core.journal import Journal
from harness.core.service import Service
from harness.estate.backup_config import BackupTable
from harness.estate.site import EstateSite
from harness.physical.incremental.due import take_due
from harness.physical.source import PhysicalSource
from harness.postgres.identity import system_facts
from harness.repository.catalogue import Receipt, Repository, Writer
from harness.repository.chain import Head
from harness.repository.store.port import Lockable
from harness.repository.upkeep.reaper import ABANDONED, reap
from harness.vault import read_secret, read_text_secret

ALERTED = "backup failure"  # subject of the event of an alert
SHOWN = 5  # missing files that an alert names


@contextmanager
def reported(estate: str, alerts: Alerts, journal: Journal) -> Iterator[None]:
    """Alert every failure and interruption inside the block as 1.7.2, and log it as 1.7.1. It is raised again.

    It is alerted first: the disk of the journal may be what failed.
    """
    try:
        yield
    except BaseException as error:
        reason = described(error)
        told = alerts.try_send(f"Backup of {estate} failed", reason)
        with suppress(OSError):
            journal.mark("log", "backup failed", message="1.7.1", error=reason, cause=type(error).__name__)
            mark_alert(journal, ALERTED, told, message="1.7.2")
        raise


def alert(alerts: Alerts, journal: Journal, title: str, detail: str) -> None:
    """Send an alert and journal whether it was sent; nothing is raised where that cannot be done."""
    told = alerts.try_send(title, detail)
    with suppress(OSError):
        mark_alert(journal, ALERTED, told)


@dataclass(slots=True)
class BackupOrchestrator:
    """Takes full backups of the live primary. `recipients`: references to the public keys that seal them.

    `signing_key`: reference to the writer's private key, which signs them; `server`: of which a base backup is taken as
    well, None: dumps alone.
    """

    estate: str
    primary: EstateSite
    services: Sequence[Service]
    repository: Repository
    recipients: Sequence[str]
    signing_key: str
    alerts: Alerts
    journal: Journal
    limits: BackupTable = field(default_factory=BackupTable)
    server: PhysicalSource | None = None

    def back_up(self) -> Receipt:
        """Take one full backup, and a base backup if declared; return the receipt of the first.

        Raises BackupFailed, after it was logged and alerted, also when only the base backup failed.
        """
        try:
            with reported(self.estate, self.alerts, self.journal), self.primary.explaining():
                receipt = self._take()
                if self.server is not None:
                    take_due(self.server, self.journal, self._lost, self.limits.full_days)
        except BaseException as error:
            if isinstance(error, BackupFailed) or not isinstance(error, Exception):
                raise
            raise BackupFailed(f"backup of {self.estate}: {described(error)}") from error
        self.journal.mark(
            "log",
            "backup succeeded",
            message="1.6",
            backup=receipt.backup_id,
            path=receipt.path,
            size=receipt.size,
            plain=receipt.plain_size,
            digest=receipt.digest,
            number=receipt.sequence,
            locked_until=receipt.locked_until.isoformat(timespec="seconds") if receipt.locked_until else "not locked",
            committed_at=receipt.committed_at.isoformat(),
            covered=len(receipt.contents.covered),
            not_covered="; ".join(receipt.contents.uncovered),
            excluded="; ".join(receipt.contents.excluded),
            missing=len(receipt.contents.missing),
        )
        return receipt

    def _take(self) -> Receipt:
        sql = self.primary.place.sql
        recipients = [read_text_secret(reference) for reference in self.recipients]
        system = system_facts(sql)
        plan = plan_of(self.primary.place, self.services, self.limits.exclude)
        self.journal.mark("begin", "backup", message="1.2", databases=", ".join(plan.databases))
        fingerprints = self._fingerprints()
        found = reap(self.repository, ABANDONED)
        if found.note:
            self.journal.mark("log", "what was to be removed stays", note=found.note)
        if found.alarm:
            self._lost(found.alarm)
        writer = self.repository.begin(system.identifier, recipients, read_text_secret(self.signing_key))
        work = Work(self.primary.place, writer, self.limits.parallel, fingerprints)
        try:
            contents = work.contents(system, plan)
            self._report(writer, contents)
            receipt = writer.commit(contents, self._lock())
        except BaseException:
            work.stops.stop()
            writer.abort()
            raise
        try:
            self.repository.remember(Head(receipt.sequence, receipt.backup_id, receipt.digest))
        except HarnessError as error:  # the backup is committed
            alert(self.alerts, self.journal, f"Backups of {self.estate} are not witnessed", reason_of(error))
        self.journal.mark("stored", receipt.path, message="1.5", size=receipt.size, digest=receipt.digest)
        if contents.missing:
            detail = f"{len(contents.missing)} files are not in it: {'; '.join(contents.missing[:SHOWN])}"
            alert(self.alerts, self.journal, f"Backup of {self.estate} is incomplete", detail)
        return receipt

    def _lost(self, alarm: str) -> None:
        alert(self.alerts, self.journal, f"Backups of {self.estate} were lost", alarm)

    def _lock(self) -> timedelta | None:
        """Return for how long the backup is locked, None if it is not; alert where the store cannot as declared."""
        if not self.limits.lock_days:
            return None
        store = self.repository.store
        if isinstance(store, Lockable) and store.locks:
            return timedelta(days=self.limits.lock_days)
        reason = "its store has no object lock for this bucket; make the bucket with object lock, or set lock_days to 0"
        alert(self.alerts, self.journal, f"Backups of {self.estate} are not locked", reason)
        return None

    def _report(self, writer: Writer, contents: Contents) -> None:
        """Journal the compressed and sealed bytes, and what is not covered."""
        plain, stored = writer.progress
        if plain and writer.compressed:
            self.journal.mark("compressed", "backup", message="1.3", plain=plain, compressed=writer.compressed)
        if stored > writer.compressed:
            self.journal.mark("sealed", "backup", message="1.4", cipher="AES-256-GCM", sealed=stored)
        for gap in contents.gaps:
            self.journal.mark("not covered", gap.what, reason=gap.why, excluded=gap.excluded)
        for tree in contents.trees:
            for lost in tree.missing:
                self.journal.mark("missing", tree.name, path=lost.path, reason=lost.reason)

    def _fingerprints(self) -> tuple[tuple[str, str], ...]:
        names = sorted({name for service in self.services for name in service.sources().fingerprints})
        known = self.primary.secrets
        if lacking := [name for name in names if name not in known]:
            raise BackupFailed(f"site {self.primary.site.name}: no secret {lacking[0]}; add it to the site's secrets")
        return tuple((n, hashlib.sha256(read_secret(known[n])).hexdigest()) for n in names)
