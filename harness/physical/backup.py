"""Physical backup: a base backup streamed into the repository, committed once the WAL that it needs is there."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event

from harness.core.clock import NotYet, wait_until
from harness.core.contents import Contents, Gap, PhysicalFacts, SystemFacts
from harness.core.errors import BackupFailed, HarnessError, Refused, TookTooLong
from harness.core.journal import Journal
from harness.core.service import Sql
from harness.core.wal import segment_end, segment_start, show_lsn
from harness.patience import PATIENCE
from harness.physical.continuity import require_ahead
from harness.physical.incremental.parent import Held, parent_of, require_parent
from harness.physical.installation.needs import read_needs
from harness.physical.receive import Receiver
from harness.physical.required import FULL, require
from harness.physical.skipped import skipped
from harness.physical.source import PhysicalSource
from harness.postgres.identity import system_facts
from harness.postgres.replication.base import INCREMENTAL, BaseBackup, begin_base
from harness.postgres.replication.connection import Identity, Replication
from harness.postgres.replication.stream import make_slot
from harness.postgres.server import ask_row
from harness.repository.catalogue import Receipt, Repository, Writer
from harness.repository.chain import Head
from harness.repository.upkeep.reaper import reap
from harness.repository.upkeep.wal import reap_wal
from harness.repository.wal.catalogue import read_wal

APPLICATION = "blackstart physical backup"
FOLDER = "base"  # of the objects: base/base.tar, base/<OID>.tar of a tablespace, base/backup_manifest
MANIFEST = f"{FOLDER}/backup_manifest"
STATE = """
SELECT pg_catalog.clock_timestamp(), current_setting('data_checksums') = 'on',
       (SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10),
       EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = %s AND active)
"""


@dataclass(frozen=True, slots=True)
class _State:
    """What the server says. `now`: its clock; `archiving`: whether the continuous archive receives its WAL."""

    now: datetime
    checksums: bool
    superuser: str
    archiving: bool


def take_physical(
    source: PhysicalSource,
    journal: Journal,
    lost: Callable[[str], None] | None = None,
    *,
    incremental: bool = False,
) -> Receipt:
    """Take a physical backup and return its receipt. Nothing is written to this machine's disk.

    What earlier runs left is removed first. `lost`: is told of complete backups that lack their COMMIT by now.
    `incremental`: only what changed since the newest one; raises Refused with the remedy where that cannot be.
    Raises BackupFailed when the server lacks what such a backup needs, before anything is done, when it reports a
    damaged page, WAL is not there in time, or the store refuses; HarnessError when the server cannot be asked.
    """
    source = replace(source, sql=require(source.sql, source.slot, incremental=incremental))
    before = _ask(source.sql, source.slot)
    system = system_facts(source.sql)
    _reap(source.repository, journal, lost)
    with Replication(source.sql, APPLICATION) as connection:
        identity = connection.identify()
        if identity.system != system.identifier:
            raise BackupFailed(f"PostgreSQL at {source.sql}: another server answered; name one host")
        require_ahead(connection, identity, read_wal(source.repository, system.identifier))
        needs = read_needs(source.sql)
        parent = parent_of(source, identity) if incremental else None
        # Keeps the WAL of this backup on the server until it is shipped; ends with the connection.
        make_slot(connection, slot := f"blackstart_base_{secrets.token_hex(6)}", temporary=True)
        writer = source.repository.begin(system.identifier, source.keys.recipients, source.keys.signing_key)
        try:
            base = _stream(connection, writer, journal, parent)
            gaps = skipped(connection.left_out, journal)
            after = _ask(source.sql, source.slot)
            facts = PhysicalFacts(
                timeline=base.timeline,
                start=base.start,
                stop=base.stop,
                segment_size=identity.segment_size,
                started_at=before.now,
                stopped_at=after.now,
                superuser=before.superuser,
                checksums=before.checksums,
                tablespaces=base.tablespaces,
                parent=None if parent is None else parent.named,
                needs=needs,
            )
            _ship(source, connection, identity, facts, (slot, after.archiving), journal)
            if parent is not None:
                require_parent(source.repository, parent.named)
            receipt = writer.commit(_contents(system, facts, gaps), source.lock)
        except BaseException:
            writer.abort()
            raise
    _told(source, receipt, journal)
    return receipt


def _reap(repository: Repository, journal: Journal, lost: Callable[[str], None] | None) -> None:
    """Remove what backups and shippers of WAL left that were killed, and tell what seems to have been deleted."""
    found = reap(repository)
    for name in found.removed:
        journal.mark("removed", name, why="left by a backup that was never committed")
    if found.note:
        journal.mark("log", "what was to be removed stays", note=found.note)
    if found.alarm:
        journal.mark("log", "backups were lost", error=found.alarm)
        if lost is not None:
            lost(found.alarm)
    for key in reap_wal(repository):
        journal.mark("removed", key, why="left by a shipper of WAL that was killed")


def _told(source: PhysicalSource, receipt: Receipt, journal: Journal) -> None:
    try:
        source.repository.remember(Head(receipt.sequence, receipt.backup_id, receipt.digest))
    except HarnessError as error:  # the backup is committed
        journal.mark("log", "backup is not witnessed", error=str(error))
    journal.mark(
        "log", "backup succeeded", backup=receipt.backup_id, path=receipt.path, size=receipt.size,
        plain=receipt.plain_size, number=receipt.sequence,
    )  # fmt: skip


def _ask(sql: Sql, slot: str) -> _State:
    return _State(*ask_row(sql, STATE, slot))


def _stream(connection: Replication, writer: Writer, journal: Journal, parent: Held | None) -> BaseBackup:
    try:
        base = begin_base(connection, "blackstart", parent.manifest if parent is not None else b"")
    except HarnessError as error:
        if parent is None:
            raise
        raise Refused(f"no incremental backup on {parent.named.backup_id}: {error}; {FULL}") from error
    on = {} if parent is None else {"parent": parent.named.backup_id}
    journal.mark("begin", "physical backup", start=show_lsn(base.start), timeline=base.timeline, **on)
    for archive in base.archives():
        entry = writer.add(f"{FOLDER}/{archive.name}", archive.chunks)
        journal.mark("stored", archive.name, plain=entry.plain_size, stored=entry.stored_size)
    writer.add(MANIFEST, (base.manifest,))
    if connection.major >= INCREMENTAL:
        writer.keep(base.manifest)  # the writer cannot open what is sealed to the recipients
    journal.mark("end", "physical backup", stop=show_lsn(base.stop))
    return base


def _ship(
    source: PhysicalSource,
    connection: Replication,
    identity: Identity,
    facts: PhysicalFacts,
    slot: tuple[str, bool],
    journal: Journal,
) -> None:
    """Make sure that the WAL of the backup is in the repository: by the continuous archive, else by this connection.

    `slot`: name of the slot of this backup, and whether the continuous archive runs. Raises BackupFailed otherwise.
    """
    needed = facts.timeline, facts.start, segment_end(facts.stop, facts.segment_size)

    def lacking() -> str:
        return read_wal(source.repository, identity.system).lacking(*needed)

    def shipped() -> None:
        if missing := lacking():
            raise NotYet(missing)

    if slot[1]:
        try:
            wait_until(shipped, patience=PATIENCE.wal_shipped, every=0.5)
        except TookTooLong as error:
            journal.mark("log", "the continuous archive is late", error=str(error))
    if lacking():
        receiver = Receiver(
            source.sql, source.repository, source.keys, slot[0], journal, lock=source.lock, purpose="backup",
            until=needed[2],
        )  # fmt: skip
        receiver.receive(
            connection, identity, (facts.timeline, segment_start(facts.start, facts.segment_size)), Event()
        )
    if missing := lacking():
        raise BackupFailed(f"the WAL that this backup needs is not in the repository: {missing}")


def _contents(system: SystemFacts, facts: PhysicalFacts, gaps: tuple[Gap, ...]) -> Contents:
    return Contents(system, (), (), (), gaps, facts)
