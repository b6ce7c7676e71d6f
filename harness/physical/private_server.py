"""A PostgreSQL server on a data folder that was restored: on a socket in a private folder, alone with its data.

It reads no configuration of the backup's, archives nothing, and connects to nobody.
"""

import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import psycopg

from harness.core.clock import SYSTEM, NotYet
from harness.core.errors import RestoreFailed
from harness.core.wal import read_lsn, show_lsn
from harness.patience import PATIENCE
from harness.physical.programs import Programs
from harness.postgres.session import open_session
from harness.substrate.embedded.spawn import wrapper

Done = TypeVar("Done")
UNREACHED = "recovery ended before configured recovery target was reached"
# The server pauses with the first of them, or ends with the second.
INSUFFICIENT = (
    "hot standby is not possible because of insufficient parameter settings",
    "recovery aborted because of insufficient parameter settings",
)
# What a replay must allow at least as much of as the server that wrote the WAL: line of pg_controldata -> setting.
LIMITS = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}
# Databases that initdb makes, of which one may be dropped or allow no connections.
MAINTENANCE = ("template1", "postgres")
REFUSED = "FATAL:  "  # begin of what a server says of a connection
# Starting up, in recovery; a conflict with WAL that is replayed: it will pass.
PASSING = ("FATAL:  the database system is ", "FATAL:  terminating connection ", "FATAL:  canceling ")
LASTING = 10.0  # seconds after which a refusal is one for good
SEGMENT = "Bytes per WAL segment"  # line of pg_controldata
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


Connect = Callable[[str], psycopg.Connection]  # to a database of that name, as the superuser; "": to one of initdb's


class Unreached(RestoreFailed):
    """The WAL ended before the target."""


class Insufficient(RestoreFailed):
    """The primary raised a limit, such as max_connections, above that of the server of the replay."""


@dataclass(frozen=True, slots=True)
class State:
    """State of a server. `position`: up to which WAL was replayed; `last_commit`: of the last transaction in it."""

    recovering: bool
    position: int
    paused: bool
    last_commit: datetime | None


@dataclass(frozen=True, slots=True)
class Running:
    """A server under way. `place`: folder of its socket and its log."""

    process: subprocess.Popen[bytes]
    place: Path
    superuser: str
    _refused: list[float] = field(default_factory=list)  # when, since the last answer

    def state(self) -> State:
        """Return its state. Raises NotYet while it does not answer, Unreached or RestoreFailed when it has ended.

        A server that refuses every connection, as without the locale of its databases, raises RestoreFailed as well.
        """
        if self.process.poll() is not None:
            raise ended(self.place / "log")
        try:
            with connect(self.place, self.superuser) as connection:
                row = connection.execute(STATE).fetchone()
        except psycopg.Error as error:
            said = " ".join(str(error).split())
            if is_refusal(error):
                self._refused.append(SYSTEM.monotonic())
            if self._refused and SYSTEM.monotonic() - self._refused[0] >= LASTING:
                raise RestoreFailed(f"the restored server refuses connections: {said}") from None
            raise NotYet(said) from None
        self._refused.clear()
        if row is None:
            raise NotYet("no answer")
        return State(row[0], read_lsn(row[1]) if row[1] else 0, row[2] == "paused", row[3])

    def reached(self) -> State:
        """Return its state once it is paused at the target, or promoted; raises as `state`.

        A pause because of a limit is not the target: raises Insufficient.
        """
        found = self.state()
        if found.paused and any(one in (self.place / "log").read_text(errors="replace") for one in INSUFFICIENT):
            raise ended(self.place / "log")
        if found.recovering and not found.paused:
            raise NotYet(f"replayed up to {show_lsn(found.position)}")
        return found

    def standing(self) -> State:
        """Return the state of a standby; raises as `state`, Insufficient, RestoreFailed for one that stands no more."""
        found = self.state()
        if found.paused:
            raise ended(self.place / "log")
        if not found.recovering:
            raise RestoreFailed("the standby was promoted by somebody else")
        return found

    def promoted(self) -> None:
        """Raise NotYet while it is in recovery; raises as `state`."""
        if self.state().recovering:
            raise NotYet("still in recovery")


def raising_limits(programs: Programs, folder: Path, work: Callable[[Mapping[str, str]], Done]) -> Done:
    """Return what `work` does, given the limits of the primary; it is repeated whenever that raised one meanwhile."""
    limits = limits_of(control_of(programs, folder))
    while True:
        try:
            return work(limits)
        except Insufficient:
            # The control file has them by now. The replay begins anew, so it needs the largest of each.
            now = limits_of(control_of(programs, folder))
            raised = {k: v for k, v in now.items() if int(v) > int(limits.get(k, "0"))}
            if not raised:
                raise
            limits |= raised


def is_refusal(error: psycopg.Error) -> bool:
    """Return whether a server refused a connection for good; not while it starts, or where nobody answered."""
    said = str(error)
    return REFUSED in said and not any(one in said for one in PASSING)


def connect(place: Path, superuser: str, database: str = "") -> psycopg.Connection:
    """Connect to a database, "": to the first of `MAINTENANCE` that takes connections. Raises psycopg.Error.

    Nothing is done of what `ALTER ROLE` and `ALTER DATABASE ... SET`, or a login trigger, of the backup would do: they
    override the command line of the server; a library would be loaded out of the data folder, an operator in their
    search path would run as the superuser.
    """
    *others, last = (database,) if database else MAINTENANCE
    for name in others:
        try:
            return _connect(place, superuser, name)
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
    return _connect(place, superuser, last)


def _connect(place: Path, superuser: str, database: str) -> psycopg.Connection:
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
def running_server(
    programs: Programs, folder: Path, place: Path, settings: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server of the replay, and stop it at the end of the block."""
    for name, text in (("hba", "local all all trust\n"), ("ident", ""), ("config", "")):
        (place / name).write_text(text)
    own = {f"{name}_file": str(place / name) for name in ("config", "hba", "ident")}
    own |= {"unix_socket_directories": str(place), "external_pid_file": ""}
    control = control_of(programs, folder)
    words = {**ALONE, **own, **limits_of(control), **sizes_of(control), **_in_place(folder), **settings}
    command = [*wrapper(), str(programs.folder / "postgres"), "-D", str(folder)]
    command += [part for name, value in words.items() for part in ("-c", f"{name}={value}")]
    (place / "log").write_bytes(b"")  # what an earlier server there said is not of this one
    with (place / "log").open("ab") as log:
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


def _in_place(folder: Path) -> dict[str, str]:
    """Return the setting without which a replay ends at a tablespace that is a folder of the data folder."""
    there = any(one.is_dir() and not one.is_symlink() for one in (folder / "pg_tblspc").glob("*"))
    return {"allow_in_place_tablespaces": "on"} if there else {}


def _stop(process: subprocess.Popen[bytes], how: signal.Signals) -> int:
    if process.poll() is None:
        process.send_signal(how)
    try:
        return process.wait(PATIENCE.node_stop)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def control_of(programs: Programs, folder: Path) -> dict[str, str]:
    """Return the control file of a data folder, by the names of pg_controldata. Raises RestoreFailed."""
    lines = (line.partition(":") for line in programs.run("pg_controldata", str(folder)).splitlines())
    return {name: value.strip() for name, _, value in lines}


def limits_of(control: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that a replay must allow at least as much of. `control`: see `control_of`."""
    return {setting: control[name] for name, setting in LIMITS.items() if name in control}


def sizes_of(control: Mapping[str, str]) -> dict[str, str]:
    """Return the settings without which a server refuses segments of WAL that are larger than 16 MB.

    initdb writes them into postgresql.conf, which a replay does not read. `control`: see `control_of`.
    """
    size = int(control.get(SEGMENT, "0")) >> 20
    least = {"min_wal_size": 80, "max_wal_size": 1024}  # PostgreSQL's own, in MB
    return {name: f"{max(own, 2 * size)}MB" for name, own in least.items()}


def ended(log: Path) -> RestoreFailed:
    """Return why a server has ended, or is paused, by its log."""
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
