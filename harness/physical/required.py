"""What a server must have for physical backups and for continuous WAL. It is asked itself; nothing is changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from harness.core.errors import BackupFailed, HarnessError, Refused
from harness.core.service import Sql
from harness.physical.installation.needs import LOCAL, SESSION, SHARED
from harness.postgres.replication.base import INCREMENTAL
from harness.postgres.replication.connection import OLDEST, Replication
from harness.postgres.server import connect, one_line

APPLICATION = "blackstart check"
ASKED = """
SELECT pg_catalog.quote_ident(current_user) AS user,
       pg_catalog.current_setting('server_version_num')::int / 10000 AS major,
       pg_catalog.current_setting('server_version_num')::int %% 10000 AS minor,
       pg_catalog.pg_is_in_recovery() AS standby,
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT rolsuper OR rolreplication FROM pg_catalog.pg_roles WHERE rolname = current_user) AS replicates,
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AND
       pg_catalog.has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE') AS control,
       (SELECT CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END FROM pg_catalog.pg_roles
        WHERE rolname = current_user) AS connections,
       pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE') AS settings,
       pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE') AND
       pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', 'SELECT') AS files,
       ARRAY(SELECT pg_catalog.quote_ident(datname) FROM pg_catalog.pg_database
             WHERE datallowconn AND datconnlimit <> -2
             AND NOT pg_catalog.has_database_privilege(oid, 'CONNECT') ORDER BY 1) AS closed,
       pg_catalog.current_setting('wal_level') AS wal_level,
       pg_catalog.current_setting('max_wal_senders')::int AS senders,
       (SELECT count(*) FROM pg_catalog.pg_stat_replication) AS sending,
       pg_catalog.current_setting('max_replication_slots')::int AS slots,
       (SELECT count(*) FROM pg_catalog.pg_replication_slots) AS made,
       coalesce((SELECT active FROM pg_catalog.pg_replication_slots WHERE slot_name = %(slot)s), false) AS received,
       EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = %(slot)s) AS has_slot,
       (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size') AS keeps,
       pg_catalog.current_setting('summarize_wal', true) AS summarize_wal,
       ARRAY(SELECT spcname::text FROM pg_catalog.pg_tablespace
             WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1) AS tablespaces
"""
CONNECTIONS = 2  # of a physical backup: one, and one that its server has not ended yet
# Minor release of each major since which WAL senders do not count for CONNECTION LIMIT. Source: release notes of 17.3.
UNCOUNTED = {14: 16, 15: 11, 16: 7, 17: 3}
SENDERS = 2  # of a backup beside `blackstart wal receive`
FULL = "take a physical one: `blackstart backup --mode physical`"


@dataclass(frozen=True, slots=True)
class Answers:
    """What a server says. `replicates`: whether the role may; `senders`, `slots`: how many are allowed.

    `user`: the role, quoted where SQL needs it, as are the names in `closed`;
    `control`: whether the role may ask for the identifier of the system; `connections`: how many it may have, -1: any;
    `settings`, `files`: whether it is told which libraries the server loads, and those of files; `closed`: databases
    that it may not connect to.
    `sending`, `made`: how many of them are in use; `has_slot`, `received`: whether the slot of the continuous archive
    is there, and whether somebody receives from it. `keeps`: max_slot_wal_keep_size in MB, -1 without limit;
    `summarize_wal`: None before PostgreSQL 17.
    """

    user: str
    major: int
    minor: int
    standby: bool
    superuser: bool
    replicates: bool
    control: bool
    connections: int
    settings: bool
    files: bool
    closed: Sequence[str]
    wal_level: str
    senders: int
    sending: int
    slots: int
    made: int
    received: bool
    has_slot: bool
    keeps: int
    summarize_wal: str | None
    tablespaces: Sequence[str]

    @property
    def sessions(self) -> int:
        """How many connections a physical backup beside the receiver has that count for CONNECTION LIMIT."""
        return CONNECTIONS + (SENDERS if self.minor < UNCOUNTED.get(self.major, 0) else 0)


@dataclass(frozen=True, slots=True)
class Required:
    """What was found, a line each with the remedy. `failures`: what a physical backup would fail at.

    `unchained`: why an incremental one cannot be taken, "" where it can or is not asked for; `warnings`: dangers;
    `superuser`: whether the role is one.
    """

    major: int
    failures: tuple[str, ...]
    unchained: str
    warnings: tuple[str, ...]
    superuser: bool = True

    @property
    def all_failures(self) -> tuple[str, ...]:
        """All that the backup would fail at."""
        return (*self.failures, *((self.unchained,) if self.unchained else ()))


def ask_required(sql: Sql, slot: str, *, incremental: bool = False, connects: bool = False) -> Required:
    """Return what a server lacks for a physical or an incremental backup. Raises HarnessError when it does not answer.

    `slot`: of the continuous archive. `connects`: the caller opens a replication connection now, so the only free WAL
    sender is left to it.
    """
    found = _ask(sql, slot)
    failures = [*_failures(found)]
    if found.major >= OLDEST and not (connects and found.senders - found.sending == 1):
        failures += _not_admitted(sql, found)
    unchained = _unchained(found) if incremental else ""
    return Required(found.major, tuple(failures), unchained, tuple(_warnings(found)), found.superuser)


def require(sql: Sql, slot: str, *, incremental: bool) -> Sql:
    """Return the connection as its role may use it: one that is no superuser makes no settings of superusers.

    Raises BackupFailed for all that a physical backup would fail at, Refused where only an incremental one would.

    Raises HarnessError when the server does not answer. A replication connection is opened by the caller next.
    """
    found = ask_required(sql, slot, incremental=incremental, connects=True)
    what = f"PostgreSQL at {sql}: {'; '.join(found.all_failures)}"
    if found.failures:
        raise BackupFailed(what)
    if found.unchained:
        raise Refused(what)
    return replace(sql, superuser=found.superuser)


def _ask(sql: Sql, slot: str) -> Answers:
    try:
        # Without settings that only superusers may set: a role that lacks a right is told which.
        with connect(replace(sql, user=""), user=sql.user) as connection:
            cursor: psycopg.Cursor[Any] = connection.execute(ASKED, {"slot": slot})
            row, names = cursor.fetchone(), [column.name for column in cursor.description or ()]
    except psycopg.Error as error:
        raise HarnessError(f"PostgreSQL at {sql}: {one_line(error)}") from error
    return Answers(**dict(zip(names, row or (), strict=True)))


def _failures(found: Answers) -> Iterator[str]:
    if found.major < OLDEST:
        yield f'version {found.major}; physical backups need {OLDEST} or newer; set [backup] mode = "logical"'
    if found.standby:
        yield "is a standby; name the primary"
    if not found.replicates:
        yield f"user {found.user} has no right to replicate; ALTER ROLE {found.user} REPLICATION, or name another user"
    if not found.control:
        functions = "pg_control_system()", "pg_control_checkpoint()"
        yield (
            f"user {found.user} may not execute {' and '.join(functions)}; GRANT EXECUTE ON FUNCTION "
            f"{', '.join(functions)} TO {found.user}"
        )
    if 0 <= found.connections < found.sessions:
        yield (
            f"user {found.user} has CONNECTION LIMIT {found.connections}, and a physical backup needs "
            f"{found.sessions}; ALTER ROLE {found.user} CONNECTION LIMIT {found.sessions + 1}"
        )
    if found.wal_level == "minimal":
        yield (
            "wal_level is minimal, its WAL cannot be restored from; ALTER SYSTEM SET wal_level = replica, and restart "
            "the server"
        )
    for name, allowed, used, end in (
        ("max_wal_senders", found.senders, found.sending, "end one of pg_stat_replication"),
        ("max_replication_slots", found.slots, found.made, "drop one of pg_replication_slots that nobody needs"),
    ):
        if allowed - used < 1:
            do = f"{end}, or raise it" if allowed else f"ALTER SYSTEM SET {name} = 10"
            restart = "and restart the server"
            yield f"{name} is {allowed}, {used} are in use, and a physical backup needs one; {do} {restart}"


def _not_admitted(sql: Sql, found: Answers) -> Iterator[str]:
    """Yield why no replication connection is opened, unless another line says it."""
    try:
        Replication(sql, APPLICATION).close()
    except HarnessError as error:
        said = str(error)
        right = not found.replicates and ("WAL sender" in said or "walsender" in said)
        if not right and found.sending < found.senders:
            yield said.removeprefix(f"PostgreSQL at {sql}: ")


def _unchained(found: Answers) -> str:
    """Return why the server cannot say what changed, and what to do; "" where it can."""
    if found.summarize_wal is None:
        return f"incremental backups need version {INCREMENTAL} or newer; {FULL}"
    if found.summarize_wal != "on":
        return f"summarize_wal is off; ALTER SYSTEM SET summarize_wal = on, reload it, then {FULL}"
    return ""


def _warnings(found: Answers) -> Iterator[str]:
    for name, free, needed in (
        ("max_wal_senders", found.senders - found.sending, 1 + (not found.received)),
        ("max_replication_slots", found.slots - found.made, 1 + (not found.has_slot)),
    ):
        if 0 < free < needed:
            yield (
                f"{name}: {free} is free, and a backup beside `blackstart wal receive` needs {needed}; raise it and "
                "restart the server"
            )
    if found.connections == found.sessions:
        yield (
            f"user {found.user} has CONNECTION LIMIT {found.connections}, and `blackstart status` beside a backup "
            f"needs {found.sessions + 1}; ALTER ROLE {found.user} CONNECTION LIMIT {found.sessions + 1}"
        )
    if found.keeps < 0:
        yield (
            "max_slot_wal_keep_size is -1: a replication slot that nobody receives from fills the server's disk; "
            "ALTER SYSTEM SET max_slot_wal_keep_size to what its disk can spare, and reload it"
        )
    if found.tablespaces:
        yield (
            f"tablespaces {', '.join(found.tablespaces)}: a recovery onto a DR site restores the dumps in place of a "
            "base backup that has some; move what is in them into pg_default, or restore by `blackstart restore --to`"
        )
    yield from _untold(found)


def _untold(found: Answers) -> Iterator[str]:
    """Yield what the role is not told, so that a restore cannot compare it."""
    names = [*(() if found.settings else (SHARED,)), *(() if found.files else (SESSION, LOCAL))]
    if names:
        grants = [*(() if found.settings else (f"GRANT pg_read_all_settings TO {found.user}",))]
        if not found.files:
            grants.append(f"GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO {found.user}")
            grants.append(f"GRANT SELECT ON pg_file_settings TO {found.user}")
        yield (
            f"user {found.user} is not told {', '.join(names)} of the server, and a restore does not compare them; "
            f"{'; '.join(grants)}"
        )
    if found.closed:
        closed = ", ".join(found.closed)
        yield (
            f"user {found.user} may not connect to {closed}, and what is in there is not compared at a restore; GRANT "
            f"CONNECT ON DATABASE {closed} TO {found.user}"
        )
