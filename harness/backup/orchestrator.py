"""Backup Orchestrator: messages 1.2 to 1.7.2."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from harness.alerts.alerts import Alerts
from harness.backup.pack import Archive, pack_objects, pack_tree
from harness.core.contents import Contents, DatabaseFacts, TreeFacts
from harness.core.errors import REPORTED, BackupFailed, HarnessError, reason_of
from harness.core.journal import Journal
from harness.core.parallel import in_parallel
from harness.core.service import Objects, Service, Sql, Tree
from harness.estate.site import EstateSite
from harness.patience import PATIENCE
from harness.postgres import dump
from harness.postgres.identity import databases, system_facts
from harness.postgres.roles import data as roles
from harness.repository.catalogue import Receipt, Repository, Writer
from harness.vault import read_secret, read_text_secret

INTENT_EXPIRY = 24 * 3600.0  # seconds after which an intent without a COMMIT is deleted


@dataclass(slots=True)
class BackupOrchestrator:
    """Takes full backups of the live primary. `recipients`: references to the public keys that seal them."""

    estate: str
    primary: EstateSite
    services: Sequence[Service]
    repository: Repository
    recipients: Sequence[str]
    alerts: Alerts
    journal: Journal

    def back_up(self) -> Receipt:
        """Take one full backup and return its receipt. Raises BackupFailed, after it was logged and alerted."""
        try:
            receipt = self._take()
        except BaseException as error:  # every failure is logged and alerted, an interruption too
            reason = reason_of(error) if isinstance(error, REPORTED) else f"{type(error).__name__}: {reason_of(error)}"
            self.journal.mark("log", "backup failed", message="1.7.1", error=reason, cause=type(error).__name__)
            self._alert(reason)
            if isinstance(error, BackupFailed) or not isinstance(error, Exception):
                raise
            raise BackupFailed(f"backup of {self.estate}: {reason}") from error
        self.journal.mark(
            "log",
            "backup succeeded",
            message="1.6",
            backup=receipt.backup_id,
            path=receipt.path,
            size=receipt.size,
            plain=receipt.plain_size,
            digest=receipt.digest,
            committed_at=receipt.committed_at.isoformat(),
        )
        return receipt

    def _alert(self, detail: str) -> None:
        try:
            delivery = self.alerts.send(f"Backup of {self.estate} failed", detail)
        except HarnessError as error:
            # The caller raises the backup's error; the failed alert is only journalled.
            self.journal.mark("alert", "backup failure", message="1.7.2", sent=False, error=str(error))
            return
        self.journal.mark("alert", "backup failure", message="1.7.2", sent=delivery.sent, targets=delivery.targets)

    def _take(self) -> Receipt:
        sql = self.primary.place.sql
        recipients = [read_text_secret(reference) for reference in self.recipients]
        system = system_facts(sql)
        names, before = databases(sql), roles.inspect(sql)
        self.journal.mark("begin", "backup", message="1.2", databases=", ".join(names))
        self.repository.reap(INTENT_EXPIRY)
        writer = self.repository.begin(system.identifier, recipients)
        try:
            with ExitStack() as snapshots_open:
                snapshots = {name: snapshots_open.enter_context(dump.open_snapshot(sql, name)) for name in names}
                # Files after the snapshots: a file exists before the row that refers to it.
                facts = in_parallel(
                    {name: lambda s=s: self._database(writer, sql, s) for name, s in snapshots.items()}  # type: ignore[misc]
                )
                archives = self._archives(snapshots)
                trees = in_parallel({a.name: partial(self._archive, writer, n, a) for n, a in enumerate(archives, 1)})
            writer.add(roles.PATH, (roles.read(sql, before),))
            contents = Contents(system, tuple(facts.values()), tuple(trees.values()), self._fingerprints())
            self._report(writer)
            receipt = writer.commit(contents)
        except BaseException:
            writer.abort()
            raise
        self.journal.mark("stored", receipt.path, message="1.5", size=receipt.size, digest=receipt.digest)
        return receipt

    def _report(self, writer: Writer) -> None:
        """Journal the compressed and sealed bytes, from the counters of the pipeline."""
        plain, stored = writer.progress
        if plain and writer.compressed:
            self.journal.mark("compressed", "backup", message="1.3", plain=plain, compressed=writer.compressed)
        if stored > writer.compressed:
            self.journal.mark("sealed", "backup", message="1.4", cipher="AES-256-GCM", sealed=stored)

    def _database(self, writer: Writer, sql: Sql, snapshot: dump.Snapshot) -> DatabaseFacts:
        site = self.primary.site
        done = in_parallel(
            {
                "facts": lambda: dump.facts(snapshot, f"databases/{snapshot.database}"),
                "dump": lambda: writer.add(
                    f"databases/{snapshot.database}.dump",
                    dump.chunks(site.run(dump.dump_task(site, sql, snapshot)), PATIENCE.dump),
                ),
            }
        )
        facts = done["facts"]
        if not isinstance(facts, DatabaseFacts):
            raise BackupFailed(f"database {snapshot.database}: row counts and digests are missing")
        return facts

    def _archives(self, snapshots: Mapping[str, dump.Snapshot]) -> list[Archive]:
        place, sources = self.primary.place, [service.sources() for service in self.services]

        def referenced(of: Tree | Objects) -> tuple[str, ...] | None:
            return snapshots[of.database].column(of.referenced) if of.referenced else None

        trees = [t for s in sources for t in s.trees if not t.database or t.database in snapshots]
        objects = [o for s in sources for o in s.objects if not o.database or o.database in snapshots]
        archives = [pack_tree(place, tree, referenced(tree)) for tree in trees]
        return archives + [pack_objects(place, bucket, referenced(bucket)) for bucket in objects]

    def _archive(self, writer: Writer, number: int, archive: Archive) -> TreeFacts:
        path = f"trees/{number:04}.tar"
        writer.add(path, archive.chunks())
        facts = replace(archive.facts, path=path)
        for lost in facts.missing:
            self.journal.mark("missing", facts.name, path=lost.path, reason=lost.reason)
        return facts

    def _fingerprints(self) -> tuple[tuple[str, str], ...]:
        names = sorted({name for service in self.services for name in service.sources().fingerprints})
        known = self.primary.secrets
        if lacking := [name for name in names if name not in known]:
            raise BackupFailed(f"site {self.primary.site.name}: no secret {lacking[0]}; add it to the site's secrets")
        return tuple((n, hashlib.sha256(read_secret(known[n])).hexdigest()) for n in names)
