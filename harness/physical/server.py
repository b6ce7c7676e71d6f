"""PostgreSQL's own programs on a restored data folder: check of the files, replay of WAL to a target, promotion.

The server of the replay listens on a socket in a private folder only, reads no configuration of the backup's, archives
nothing, and connects to nobody.
"""

import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import psycopg

from harness.core.clock import NotYet, wait_until
from harness.core.errors import RestoreFailed
from harness.core.wal import read_lsn, show_lsn
from harness.patience import PATIENCE
from harness.physical.programs import Programs
from harness.postgres.session import open_session
from harness.substrate.embedded.spawn import wrapper

UNREACHED = "recovery ended before configured recovery target was reached"
# The server pauses with the first of them, or ends with the second.
INSUFFICIENT = (
    "hot standby is not possible because of insufficient parameter settings",
    "recovery aborted because of insufficient parameter settings",
)
# What a replay must allow at least as much of as the server that wrote the WAL: line of pg_controldata -> setting.
LIMITS = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}
PORT = 5432  # of the socket alone; said on both sides, for PGPORT and a program's own default may be another
ALONE = {
    "listen_addresses": "",
    "port": str(PORT),
    "ssl": "off",
    "restore_command": "exit 1",  # all WAL is in pg_wal
    "recovery_target_action": "pause",
    "hot_standby": "on",
    "archive_mode": "off",
    "archive_library": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "max_logical_replication_workers": "0",
    "autovacuum": "off",
    "fsync": "off",  # the callers write the whole folder to disk afterwards
    "wal_keep_size": "1GB",  # the segment in which the new timeline begins stays until it is archived
    "logging_collector": "off",
    "log_destination": "stderr",
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "128MB",
    "lc_messages": "C",
}
STATE = """
SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_last_wal_replay_lsn()::text,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_get_wal_replay_pause_state() ELSE '' END,
       pg_catalog.pg_last_xact_replay_timestamp()
"""
COLLATIONS = """
SELECT datname FROM pg_catalog.pg_database
WHERE datcollversion <> pg_catalog.pg_database_collation_actual_version(oid) ORDER BY datname
"""


Connect = Callable[[str], psycopg.Connection]  # to a database of that name, as the superuser


class Unreached(RestoreFailed):
    """The WAL ended before the target."""


class Insufficient(RestoreFailed):
    """The primary raised a limit, such as max_connections, above that of the server of the replay."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to. `position`: up to which WAL was replayed; `last_commit`: of the last transaction in it.

    `collations`: databases whose indexes were made by another version of their collation.
    """

    position: int
    last_commit: datetime | None
    collations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _State:
    recovering: bool
    position: int
    paused: bool
    last_commit: datetime | None


@dataclass(frozen=True, slots=True)
class _Replay:
    """A server under way. `place`: folder of its socket and its log."""

    process: subprocess.Popen[bytes]
    place: Path
    superuser: str

    def state(self) -> _State:
        """Return its state. Raises NotYet while it does not answer, Unreached or RestoreFailed when it has ended."""
        if self.process.poll() is not None:
            raise _ended(self.place / "log")
        try:
            with _connect(self.place, self.superuser) as connection:
                row = connection.execute(STATE).fetchone()
        except psycopg.Error as error:
            raise NotYet(" ".join(str(error).split())) from None
        if row is None:
            raise NotYet("no answer")
        return _State(row[0], read_lsn(row[1]) if row[1] else 0, row[2] == "paused", row[3])

    def reached(self) -> _State:
        """Return its state once it is paused at the target, or promoted; raises as `state`.

        A pause because of a limit is not the target: raises Insufficient.
        """
        found = self.state()
        if found.paused and any(one in (self.place / "log").read_text(errors="replace") for one in INSUFFICIENT):
            raise _ended(self.place / "log")
        if found.recovering and not found.paused:
            raise NotYet(f"replayed up to {show_lsn(found.position)}")
        return found

    def promoted(self) -> None:
        """Raise NotYet while it is in recovery; raises as `state`."""
        if self.state().recovering:
            raise NotYet("still in recovery")


def replay(
    programs: Programs,
    folder: Path,
    superuser: str,
    common: Mapping[str, str],
    target: Mapping[str, str],
    promoted: Callable[[Connect], None] = lambda _connect: None,
) -> Replayed:
    """Replay WAL to a target, check that it was reached, promote, and stop the server.

    `common`, `target`: settings; without a target the replay goes to the end of the WAL. Limits that the primary raised
    meanwhile, such as max_connections, are raised for it. `promoted`: changes the databases before anybody else can
    connect. Raises Unreached when the WAL
    ends before the target, RestoreFailed when the server does not start or stop.
    """
    (folder / "recovery.signal").touch(mode=0o600)
    limits = _limits(programs, folder)
    while True:
        try:
            return _replay(programs, folder, superuser, {**limits, **common}, target, promoted)
        except Insufficient:
            # The control file has them by now. The replay begins anew, so it needs the largest of each.
            raised = {k: v for k, v in _limits(programs, folder).items() if int(v) > int(limits.get(k, "0"))}
            if not raised:
                raise
            limits |= raised


def _replay(
    programs: Programs,
    folder: Path,
    superuser: str,
    common: Mapping[str, str],
    target: Mapping[str, str],
    promoted: Callable[[Connect], None],
) -> Replayed:
    with tempfile.TemporaryDirectory(prefix="blackstart-") as name:
        place = Path(name)
        with _server(programs, folder, place, {**common, **target}) as process:
            running = _Replay(process, place, superuser)
            at = wait_until(running.reached, patience=PATIENCE.restore_database, what="replay of WAL")
            if target and not at.recovering:
                raise RestoreFailed("the server was promoted before the target was known to be reached")
            with _connect(place, superuser) as connection:
                if at.recovering:
                    connection.execute("SELECT pg_catalog.pg_wal_replay_resume()")
            wait_until(running.promoted, patience=PATIENCE.postgres_ready, what="promotion")
            with _connect(place, superuser) as connection:
                collations = tuple(str(name) for (name,) in connection.execute(COLLATIONS).fetchall())
            promoted(partial(_connect, place, superuser))
    return Replayed(at.position, at.last_commit, collations)


@contextmanager
def serving(programs: Programs, folder: Path, superuser: str) -> Iterator[Path]:
    """Run a server on a restored folder as the replay does; yield the folder of its socket. Raises RestoreFailed."""
    with tempfile.TemporaryDirectory(prefix="blackstart-") as name:
        place = Path(name)
        with _server(programs, folder, place, {}) as process:
            wait_until(_Replay(process, place, superuser).promoted, patience=PATIENCE.postgres_ready)
            yield place


def _connect(place: Path, superuser: str, database: str = "template1") -> psycopg.Connection:
    """Connect without what `ALTER ROLE` and `ALTER DATABASE ... SET`, or a login trigger, of the backup would do.

    They override the command line of the server: a library would be loaded out of the data folder, an operator in
    their search path would run as the superuser.
    """
    return open_session(
        str(place),
        more={"search_path": "pg_catalog"},
        host=str(place),
        port=PORT,
        user=superuser,
        dbname=database,
        connect_timeout=round(PATIENCE.sql_connect),
    )


@contextmanager
def _server(
    programs: Programs, folder: Path, place: Path, settings: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server of the replay, and stop it at the end of the block."""
    for name, text in (("hba", "local all all trust\n"), ("ident", ""), ("config", "")):
        (place / name).write_text(text)
    own = {f"{name}_file": str(place / name) for name in ("config", "hba", "ident")}
    own |= {"unix_socket_directories": str(place), "external_pid_file": ""}
    words = {**ALONE, **own, **_limits(programs, folder), **settings}
    command = [*wrapper(), str(programs.folder / "postgres"), "-D", str(folder)]
    command += [part for name, value in words.items() for part in ("-c", f"{name}={value}")]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=programs.environment,
        )  # fmt: skip
    try:
        yield process
    except BaseException:
        _stop(process, signal.SIGQUIT)
        raise
    if (code := _stop(process, signal.SIGINT)) != 0:
        raise RestoreFailed(f"the server of the replay did not stop cleanly (code {code}): {_last(place / 'log')}")


def _stop(process: subprocess.Popen[bytes], how: signal.Signals) -> int:
    if process.poll() is None:
        process.send_signal(how)
    try:
        return process.wait(PATIENCE.node_stop)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _limits(programs: Programs, folder: Path) -> dict[str, str]:
    found = {}
    for line in programs.run("pg_controldata", str(folder)).splitlines():
        name, _, value = line.partition(" setting:")
        if name in LIMITS and value.strip().isdigit():
            found[LIMITS[name]] = value.strip()
    return found


def _ended(log: Path) -> RestoreFailed:
    said, text = _last(log), log.read_text(errors="replace")
    if UNREACHED in text:
        return Unreached("the WAL ends before the target")
    if any(one in text for one in INSUFFICIENT):
        return Insufficient(f"the server of the replay ended: {said}")
    return RestoreFailed(f"the server of the replay ended: {said}")


def _last(log: Path) -> str:
    """Return the first FATAL or PANIC of a log, else its last line."""
    lines = log.read_text(errors="replace").splitlines()
    # A connection that came too early is refused with FATAL as well: "the database system is starting up".
    fatal = [line for line in lines if re.search(r"\b(FATAL|PANIC): (?!\s*the database system is )", line)]
    return " ".join((fatal or lines or ["no log"])[0 if fatal else -1].split())
