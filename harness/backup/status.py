"""Status of the backups now: what would be lost if the site were gone this second, and what endangers it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from apscheduler.triggers.cron import CronTrigger

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.estate.backup_config import CRON_FIELDS
from harness.physical.continuity import behind
from harness.physical.receive import ALIVE
from harness.postgres.server import ask_row
from harness.regular_file import replace_file
from harness.repository.catalogue import Repository
from harness.repository.chain import CLOCK
from harness.repository.committed import CommittedBackup, newest_system
from harness.repository.lineage import broken_chains
from harness.repository.wal.catalogue import Leg, WalCatalogue, read_wal
from harness.repository.wal.findings import wal_findings

LATE = 0.5  # intervals after a run at which its backup is overdue
# Intervals before a run from which on a backup is that of the run, but no longer than CLOCK: the server's clock may be
# behind.
EARLY = 0.1
FULL = 0.8  # share of max_slot_wal_keep_size from which on the slot is in danger
READABLE = 0o644  # the node exporter runs as another user
ASKED = """
SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()), pg_catalog.clock_timestamp(),
       (pg_catalog.pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint,
       ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_flush_lsn()), 8))::bit(32)::int,
       current_setting('archive_mode') <> 'off',
       a.last_archived_time, a.last_failed_time, a.last_failed_wal,
       s.slot_name IS NOT NULL, coalesce(s.active, false), coalesce(s.wal_status, ''),
       (pg_catalog.pg_current_wal_flush_lsn() - s.restart_lsn)::bigint,
       (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size')
FROM pg_catalog.pg_stat_archiver a LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the primary says. `system`: its identifier; `flushed`: up to where its WAL is on its disk.

    `slot`: whether the archive's slot exists.
    `retained`: bytes of WAL that it keeps for the slot; `limit`: at most that many, None: without limit.
    """

    system: str
    now: datetime
    flushed: int
    timeline: int
    archives: bool
    archived_at: datetime | None
    failed_at: datetime | None
    failed: str | None
    slot: bool
    active: bool
    kept: str
    retained: int | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class Due:
    """When the backup after the newest one is due: at that run of the schedule. After `alarm` it is overdue."""

    at: datetime
    alarm: datetime

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Status:
    """The status. `rpo_seconds`, `lost_bytes`: of writes that would be lost now, None: not known.

    `backup_age_seconds`: of the newest trusted backup's snapshot, None without one, as `due`; `alarms`: one line for
    each danger. `interval_seconds`: None where nothing is known.
    """

    rpo_seconds: float | None
    lost_bytes: int | None
    backup_age_seconds: float | None
    interval_seconds: float | None
    retained_bytes: int | None
    retained_limit_bytes: int | None
    alarms: tuple[str, ...]
    due: Due | None = None


def unknown_status(reason: str) -> Status:
    """Return the status where it could not be asked, as of a repository that does not answer: one alarm, no figure."""
    return Status(None, None, None, None, None, None, (reason,))


def server_state(sql: Sql, slot: str) -> ServerState:
    """Return what the primary says of its WAL. Raises HarnessError when it does not answer."""
    # The role that ships WAL asks, which needs no right but REPLICATION: without the settings of superusers.
    row = ask_row(replace(sql, superuser=False), ASKED, slot)
    limit = row[-1]
    names = (field.name for field in fields(ServerState))
    return ServerState(**dict(zip(names, (*row[:-1], None if limit < 0 else limit << 20), strict=True)))


def ask_server(sql: Sql, slot: str) -> ServerState | str:
    """Return what the primary says of its WAL, or why it does not answer."""
    try:
        return server_state(sql, slot)
    except HarnessError as error:
        return str(error)


def interval_of(expression: str, now: datetime, newest: datetime | None = None) -> timedelta:
    """Return the time between the next two runs of a six-field cron, or from the newest backup to the run after it.

    The longer of the two: on a Sunday nothing is late of a schedule for the days of the week.
    """
    first, second = islice(_runs(expression, now), 2)
    return second - first if newest is None else max(second - first, next(_runs(expression, newest)) - newest)


def due_after(expression: str, newest: datetime) -> Due:
    """Return when a six-field cron makes a backup due after the newest one, and from when on it is overdue.

    How long a run may take is measured by the shorter of the two intervals after it: the other may be a weekend.
    """
    first, second, third, fourth = islice(_runs(expression, newest), 4)
    usual = min(second - first, third - second)
    if first - newest > min(EARLY * usual, CLOCK):
        return Due(first, first + LATE * usual)
    return Due(second, second + LATE * min(third - second, fourth - third))


def _runs(expression: str, after: datetime) -> Iterator[datetime]:
    """Yield the times at which a six-field cron fires; one that never fires counts as daily."""
    trigger = CronTrigger(**dict(zip(CRON_FIELDS, expression.split(), strict=True)), timezone="UTC")
    while True:
        after = trigger.get_next_fire_time(None, after) or after + timedelta(days=1)
        yield after
        after += timedelta(microseconds=1)


def status_of(repository: Repository, ask: Callable[[], ServerState | str], schedule: str, budget: float) -> Status:
    """Return the status. `ask`: what the primary says now, or why it says nothing; `budget`: `backup.wal_seconds`.

    Raises HarnessError of the store.
    """
    server = ask()
    catalogue = repository.catalogue()
    broken = broken_chains(catalogue.entries)
    every = [entry for entry in catalogue.entries if entry.damaged is None and entry.backup_id not in broken]
    # A server that was made anew has nothing in the backups of the one before.
    system = server.system if isinstance(server, ServerState) else newest_system(every)
    wal = read_wal(repository, system)
    if isinstance(server, ServerState) and _put_back(server, wal):
        server = ask()  # more may have been shipped since: by a receiver at work, by a push
    trusted = [entry for entry in every if system in ("", entry.system)]
    now = server.now if isinstance(server, ServerState) else repository.clock.wall()
    snapshots = [entry.snapshot_at for entry in trusted if entry.snapshot_at is not None]
    newest = max(snapshots, default=None)
    age = (now - newest).total_seconds() if newest is not None else None
    interval = interval_of(schedule, now, newest).total_seconds()
    alarms = [*catalogue.findings, *wal_findings(repository, wal)]
    alarms += [f"backup {name} cannot be restored: {reason}" for name, reason in broken.items()]
    due = due_after(schedule, newest) if newest is not None else None
    if due is None:
        of = f" of database system {system}" if every else ""
        alarms.append(f"no trusted backup{of} is in the repository; take one with `blackstart backup`")
    elif now > due.alarm:
        alarms.append(f"the newest backup is {age:.0f} s old, one was due on {due}; look at its schedule")
    rpo, lost = age, None
    archived = any(one.purpose == "archive" for one in wal.lists)
    if isinstance(server, str):
        alarms.append(f"the primary does not say its state: {server}")
    else:
        rpo, lost = _loss(server, trusted, wal, age)
        alarms += filter(None, [_put_back(server, wal)])
        alarms += [*_archive_alarms(server, rpo, budget, archived=archived), *_slot_alarms(server, archived=archived)]
    return Status(
        rpo,
        lost,
        age,
        interval,
        server.retained if isinstance(server, ServerState) else None,
        server.limit if isinstance(server, ServerState) else None,
        tuple(dict.fromkeys(alarms)),
        due,
    )


def _loss(
    server: ServerState, trusted: Sequence[CommittedBackup], wal: WalCatalogue, age: float | None
) -> tuple[float | None, int | None]:
    """Return seconds and bytes of what would be lost now: by WAL from a base backup on, else from the newest backup."""
    ends = [
        wal.reach(Leg(base.timeline, base.start, None))[0]
        for entry in trusted
        if entry.commit is not None and (base := entry.commit.base) is not None
        if base.timeline == server.timeline and wal.lacking(base.timeline, base.start, base.stop) == ""
    ]
    if not ends or _put_back(server, wal):
        return age, None
    end = max(ends)
    lost = max(0, server.flushed - end)
    until = wal.covered_until(server.timeline, end)
    if not lost:
        return 0.0, 0
    seconds = (server.now - until).total_seconds() if until is not None else age
    return (min(seconds, age) if seconds is not None and age is not None else seconds), lost


def _put_back(server: ServerState, wal: WalCatalogue) -> str:
    """Return a line when the repository has WAL of the server's timeline that the server has not written, else ""."""
    return "" if server.active else behind(wal, server.timeline, server.flushed)


def _archive_alarms(server: ServerState, rpo: float | None, budget: float, *, archived: bool) -> Iterator[str]:
    if server.archives and server.failed_at and (server.archived_at is None or server.failed_at > server.archived_at):
        at = f"{server.failed_at:%Y-%m-%d %H:%M:%S}"
        yield f"archive_command failed last at {at} UTC, for {server.failed}; see the server's log"
    if archived and rpo is not None and rpo > 2 * budget + ALIVE:
        pushed = server.archives and not server.slot
        do = f"set archive_timeout to {budget:g} s, or run" if pushed else "is it running:"
        yield f"WAL is {rpo:.0f} s behind, {budget:g} s are declared; {do} `blackstart wal receive`"


def _slot_alarms(server: ServerState, *, archived: bool) -> Iterator[str]:
    if not server.slot:
        if archived and not server.archives:
            yield "the replication slot of the archive is gone; `blackstart wal receive` makes it anew"
        return
    if not server.active:
        yield "nobody receives from the replication slot, and the server keeps its WAL; start `blackstart wal receive`"
    if server.kept in ("unreserved", "lost"):
        yield f"the replication slot is {server.kept}: WAL is discarded before it is shipped; take a new backup"
    if server.limit is None:
        yield "max_slot_wal_keep_size is not set: a slot that nobody reads fills the server's disk; set it"
    elif server.retained is not None and server.retained > FULL * server.limit:
        yield (
            f"the slot keeps {server.retained >> 20} MiB of at most {server.limit >> 20} MiB "
            "(max_slot_wal_keep_size); beyond it WAL is discarded before it is shipped"
        )


def write_gauges(path: Path, estate: str, status: Status) -> None:
    """Write the status as a textfile of Prometheus' node exporter, whole or not at all. Raises HarnessError."""
    values = {
        "blackstart_rpo_now_seconds": ("Age of the oldest write that would be lost now.", status.rpo_seconds),
        "blackstart_wal_lost_bytes": ("WAL that is not in the repository.", status.lost_bytes),
        "blackstart_newest_backup_age_seconds": ("Age of the newest backup's snapshot.", status.backup_age_seconds),
        "blackstart_backup_interval_seconds": ("Time between scheduled backups.", status.interval_seconds),
        "blackstart_slot_retained_bytes": ("WAL kept for the replication slot.", status.retained_bytes),
        "blackstart_slot_limit_bytes": ("max_slot_wal_keep_size; absent when not set.", status.retained_limit_bytes),
        "blackstart_backup_alarms": ("Dangers that `blackstart status` lists.", len(status.alarms)),
        "blackstart_status_timestamp_seconds": ("Time at which it was asked.", round(SYSTEM.wall().timestamp())),
    }
    lines = []
    for name, (text, value) in values.items():
        if value is not None:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f'{name}{{estate="{estate}"}} {value}']
    try:
        replace_file(path, "\n".join((*lines, "")).encode(), READABLE)
    except OSError as error:
        raise HarnessError(
            f"textfile {path}: cannot be written ({error.strerror}); name a file in a folder that can be written"
        ) from None
