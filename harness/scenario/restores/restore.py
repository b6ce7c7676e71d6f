"""Drill of a restore: databases to a point in time, by the code of `blackstart restore --to`, with a record."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from harness.backup.verify import verify_all
from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, Unreadable
from harness.core.journal import Event, phase
from harness.core.judge import Evidence, exposure
from harness.core.record import DrillRecord
from harness.core.wal import show_lsn
from harness.drill.drill import Drill
from harness.estate.secrets import PRIVATE_KEY, RECIPIENTS, SIGNING_KEY
from harness.evidence.record import Outcome, conclude, open_record
from harness.patience import PATIENCE
from harness.pem import fingerprint
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.programs import programs_of
from harness.physical.restore import PointInTime, restore
from harness.physical.server import serving
from harness.physical.single.restore import sql_at
from harness.physical.source import source_at
from harness.physical.target import read_target
from harness.postgres.server import connect
from harness.repository.catalogue import Receipt
from harness.repository.format.recipients import new_pair, read_private
from harness.repository.upkeep.retention import Policy, decide, remove_expired
from harness.repository.upkeep.rewrap import Rewrap, changes
from harness.repository.upkeep.wal import expired_wal, remove_wal
from harness.repository.wal.catalogue import read_systems, read_wal
from harness.scenario.checks.verdict import require, require_refused
from harness.scenario.restores.points import Point, rows_on, start_clients, write_last, write_until
from harness.signing import read_signing_key
from harness.vault import read_secret

MODE = "restore"
FOLDER = "restored"  # in the run folder
NOT_DRILLED = (
    "2.1 to 2.8: the databases alone are restored, beside a running site; no service is started, no traffic switched",
    "files and objects: they are in the daily backup",
)


@dataclass(slots=True)
class RestoreDrill:
    """A primary whose database clients write to, and restores of it. `point`: the one that is restored to."""

    drill: Drill
    point: Point | None = None
    receipts: list[Receipt] = field(default_factory=list)
    done: PointInTime | None = None
    found: frozenset[int] = frozenset()  # the clients' rows in the restored server
    began: Event | None = None
    ended: float | None = None

    def start(self) -> "RestoreDrill":
        """Start the primary's data, the receiver of WAL and a client; return this object. Raises HarnessError."""
        environment = self.drill.environment
        environment.start_data()
        with connect(environment.primary.place.sql, reading=False) as connection:
            connection.execute("ALTER SYSTEM SET summarize_wal = on")  # for incremental backups
            connection.execute("SELECT pg_catalog.pg_reload_conf()")
        environment.start_archiving()
        start_clients(self.drill)
        return self

    def back_up(self, *, incremental: bool = False) -> Receipt:
        """Take a base backup as `blackstart backup --mode physical` does, and return its receipt. Raises as that."""
        source = source_at(self.drill.environment.connections)
        self.receipts.append(take_physical(source, self.drill.journal, incremental=incremental))
        return self.receipts[-1]

    def write_segment(self) -> None:
        """Let clients write a segment of WAL that is whole, and on; return once it is in the repository."""
        self._await_shipped(write_until(self.drill, "the end of a segment of WAL").position)

    def apply_retention(self, last: int) -> None:
        """Open all backups, keep the `last` ones and remove the others, as the commands do. Raises HarnessError."""
        environment = self.drill.environment
        repository, key = environment.repository, read_secret(environment.dr.secrets[PRIVATE_KEY])
        wrong = [one.said for one in verify_all(repository, key, every=True) if one.wrong]
        require(not wrong, f"a backup is not valid: {'; '.join(wrong)}")
        signing_key = read_signing_key(read_secret(environment.secrets.of("primary")[SIGNING_KEY]))
        decided = decide(repository, Policy(last=last, day=0, week=0, month=0, verified=1))
        kept = [decision.entry for decision in decided if not decision.expires]
        wal = [one for system in read_systems(repository) for one in expired_wal(system, kept)]
        require(wal, "no WAL expired: nothing was shown of it")
        removed = [*remove_expired(repository, decided, signing_key), *remove_wal(repository, wal)]
        failed = [f"{name}: {why}" for name, why in removed if why]
        require(not failed, f"not removed: {'; '.join(failed)}")
        left = [entry.backup_id for entry in repository.committed()]
        require(left == [one.backup_id for one in reversed(self.receipts[-last:])], f"retention left {left}")

    @property
    def oldest(self) -> str:
        """The name of the oldest backup in the repository; raises HarnessError without any."""
        if not (entries := self.drill.environment.repository.committed()):
            raise HarnessError("no backup is in the repository; add that Given step")
        return entries[-1].backup_id

    def rotate_key(self) -> None:
        """Give DR a new key, to which all backups and WAL are sealed from now on; the old one opens none of them.

        As `blackstart keys rewrap` does. Raises HarnessError, UsageError.
        """
        secrets, repository = self.drill.environment.secrets, self.drill.environment.repository
        old, new = read_secret(secrets.of("dr")[PRIVATE_KEY]), new_pair()
        gone = fingerprint(read_private(old).public_key())
        for change in changes(repository, old, Rewrap(add=(new[1],), remove=(gone,))).values():
            change()
        secrets.put("dr", PRIVATE_KEY, new[0])
        secrets.put("primary", RECIPIENTS[0], new[1])
        for entry in repository.committed():
            require_refused(partial(repository.open, entry, old), Unreadable, "was removed by `keys rewrap`")

    def restore(self, point: Point | None, backup_id: str = "") -> None:
        """Restore to a point, None: to the newest state, which is after the clients' last write.

        `backup_id`: the backup to begin with, "": the best one. Raises as `harness.physical.restore.restore`.
        """
        drill = self.drill
        self.point = point or write_last(drill)
        self._await_shipped(self.point.position if point is None or point.target != "latest" else 0)
        header = replace(drill.header, mode=MODE)
        drill.header = header
        open_record(header, drill.folder, drill.journal)
        self.began = drill.journal.mark("restoring", "databases", target=self.point.target)
        with phase(drill.journal, "restore"):
            self._restore(self.point, backup_id)
        self.ended = drill.journal.mark("held", "restored databases", rows=len(self.found)).at

    def _restore(self, point: Point, backup_id: str) -> None:
        environment = self.drill.environment
        key = read_secret(environment.dr.secrets[PRIVATE_KEY])
        wanted, folder = Wanted(read_target(point.target), backup_id), environment.run / FOLDER
        self.done = done = restore(environment.repository, key, wanted, folder, self.drill.journal)
        with serving(programs_of(done.major), done.folder, done.superuser) as place:
            self.found = rows_on(sql_at(place, done.superuser))

    def _await_shipped(self, position: int) -> None:
        """Return once the repository has the WAL up to a position. Raises TookTooLong."""
        environment = self.drill.environment
        system = environment.template.identity.system
        base = self.receipts[-1].contents.physical  # older WAL may have expired
        if base is None:
            raise HarnessError("no base backup was taken; add that Given step")

        def shipped() -> None:
            if lacking := read_wal(environment.repository, system).lacking(base.timeline, base.start, position):
                raise NotYet(lacking)

        wait_until(shipped, patience=PATIENCE.wal_shipped, every=0.2, what="WAL up to the point in time")

    def conclude(self) -> DrillRecord:
        """Judge the restore, write the record and return it. Raises HarnessError before a restore."""
        if self.done is None or self.began is None:
            raise HarnessError("nothing was restored; add that When step")
        drill, done = self.drill, self.done
        evidence = Evidence(
            promise=drill.header.promise,
            activated=self.began.at,
            key=self.ended,
            exposure=exposure((self._snapshot(),), self.began.wall, drill.header.promise.exposure),
            findings=(*done.findings, *self.wrong_rows()),
            doubts=tuple(drill.failures.doubts),
            checks=len(self.expected()),
        )
        backup: dict[str, str | float] = {
            "id": done.backup_id,
            "mode": "physical",
            "base_backup": done.backup_id,
            "replayed_to": show_lsn(done.position),
            "last_transaction": done.last_commit.isoformat(timespec="milliseconds") if done.last_commit else "none",
        }
        notes = {"restored to": self.point.target if self.point else "", "to do before use": "; ".join(done.warnings)}
        outcome = Outcome(evidence, backup=backup, rows=len(self.found), not_drilled=NOT_DRILLED, notes=notes)
        drill.record = conclude(drill.header, outcome, drill.folder, drill.journal)
        return drill.record

    def _snapshot(self) -> datetime:
        """Return when the restored backup was taken. Raises HarnessError."""
        for receipt in self.receipts:
            facts = receipt.contents.physical
            if self.done is not None and receipt.backup_id == self.done.backup_id and facts is not None:
                return facts.stopped_at
        raise HarnessError("a backup was restored that this drill did not take")

    def expected(self) -> frozenset[int]:
        """Return the writes of which it is known whether they are before or after the point."""
        if self.point is None:
            return frozenset()
        ledger = self.drill.ledger.ledger
        return self.point.owed(ledger) | self.point.later(ledger)

    def wrong_rows(self) -> Sequence[str]:
        """Return a line for writes before the point that are not there, and one for writes after it that are."""
        if self.point is None:
            return ()
        ledger = self.drill.ledger.ledger
        lost, more = self.point.owed(ledger) - self.found, self.point.later(ledger) & self.found
        lines = [f"acknowledged before {self.point.target}, and not restored: {sorted(lost)[:5]}"] if lost else []
        return (*lines, *([f"written after {self.point.target}, and restored: {sorted(more)[:5]}"] if more else []))

    def require_rows(self, *, both: bool) -> None:
        """Raise Finding unless exactly the clients' rows of before the point are there. `both`: some came after it."""
        if self.point is None:
            raise HarnessError("nothing was restored; add that When step")
        ledger = self.drill.ledger.ledger
        require(self.point.owed(ledger), "no write was acknowledged before the point: nothing was shown")
        require(bool(self.point.later(ledger)) == both, "writes after the point: nothing was shown")
        wrong = self.wrong_rows()
        require(not wrong, "; ".join(wrong))

    def require_chain(self) -> None:
        """Raise Finding unless the newest incremental backup was restored, and all that it builds on."""
        names = [receipt.backup_id for receipt in self.receipts]
        require(len(names) > 1, "no incremental backup was taken")
        used = self.done.backup_id if self.done is not None else "none"
        require(used == names[-1], f"{used} was restored, not the newest incremental backup {names[-1]}")
        parts = next((event.facts.get("parts") for event in self.drill.journal.events if event.kind == "combined"), 0)
        require(parts == len(names), f"{used} was restored from {parts} backups, not from {len(names)}")
