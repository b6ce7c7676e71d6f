"""Rewind of an old primary: its data folder becomes a standby of the server that was promoted in its place.

By `pg_rewind`, with WAL of the repository where the data folder no longer has it. Source: PostgreSQL documentation,
`pg_rewind`, "How It Works".
"""

import re
import stat
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import make_conninfo

from harness.core.errors import Refused, RestoreFailed
from harness.core.journal import Journal
from harness.core.service import Sql
from harness.core.wal import read_lsn, segment_name, segment_start, show_lsn, timeline_at
from harness.physical.place import private_place
from harness.physical.private_server import MAINTENANCE, control_of, limits_of, sizes_of
from harness.physical.standby.follower import SIGNAL
from harness.physical.standby.old_primary import ANEW, BAR, OldPrimary, Plan, is_barred, running_in
from harness.physical.unpack import AUTO, LEFT_OVER
from harness.postgres.server import ask_row, parameters, transaction
from harness.substrate.common.filesystem import write_to_disk
from harness.vault import for_password_file

START = re.compile(r"START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+)")
HAS = "SELECT pg_catalog.array_agg(name) FROM pg_catalog.pg_ls_waldir()"
BEGUN = "need to copy"  # what pg_rewind says right before it changes the folder
CLEAN = ("shut down", "shut down in recovery")  # states of a control file with which pg_rewind begins
COPIED = re.compile(r"\s*\d+/\d+ kB \(\d+%\) copied\s*|\s*")
FATAL = re.compile(r"\b(FATAL|PANIC): ")
SAID = re.compile(r"pg_rewind: (?:error|fatal): (.*)")


class Unchanged(RestoreFailed):
    """pg_rewind has failed before it changed the data folder."""


def rewind(plan: Plan, discard: int | None, passfile: Path | None, journal: Journal) -> None:
    """Make the old primary a standby that streams from the promoted server; it is not started.

    `discard`: the position from which its own WAL may be discarded; `passfile`: libpq's password file that its server
    reads, None where it needs none. Raises Refused, before anything is changed, where other WAL would be discarded,
    RestoreFailed, HarnessError.
    """
    old, own = plan.old, plan.own
    if own is not None and discard != own.fork.at:
        raise Refused(
            f"{old.folder}: has what the promoted server lacks: {own}; --discard {show_lsn(own.fork.at)} gives it up"
        )
    if (pid := running_in(old.folder)) is not None:
        raise Refused(f"{old.folder}: a server runs on it (process {pid}); stop it")
    if again := own is not None or plan.unfinished:
        _rewound(plan, journal)
    wal = old.folder / "pg_wal"
    with private_place(old.programs.tags, wal) as place:  # of the file system to which its files go
        lacking = fetch_lacking(plan, place)
        follow(old.folder, plan.promoted.sql, passfile)
        for path in lacking:
            path.replace(wal / path.name)
    write_to_disk(old.folder)
    unbar(old.folder)
    write_to_disk(old.folder)  # its mode
    if again:
        old.aside.remove()
    journal.mark("rewound", str(old.folder), follows=str(plan.promoted.sql), discarded=str(own or ""))


def _rewound(plan: Plan, journal: Journal) -> None:
    """Run pg_rewind where it has not ended, and put back what PostgreSQL did not make."""
    old, own, aside = plan.old, plan.own, plan.old.aside
    if own is not None:
        with transaction(plan.promoted.sql, "", "name a superuser") as connection:
            connection.execute("CHECKPOINT")  # before that the control file has the timeline from before the promotion
        fresh = aside.move_away(aside.marker(old.system, own.fork, plan.promoted.identity.timeline))
        try:
            _run(plan, journal)
        except Unchanged as error:
            if not fresh:  # a rewind before this one may have changed it
                raise RestoreFailed(f"{error}; its settings are in {aside.place}") from None
            aside.undo()
            unbar(old.folder)
            raise
    (old.folder / SIGNAL).touch(mode=0o600)  # before all else: without it a second primary would start
    aside.put_back()


def bar(folder: Path) -> None:
    """Have no server start on a data folder, which has pages of two servers, until `unbar`. Raises Unchanged.

    What PostgreSQL says then: "data directory has invalid permissions".
    """
    try:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | BAR)
    except OSError as error:
        raise Unchanged(
            f"{folder}: {error.strerror}: its mode cannot be changed, by which no server starts on it meanwhile; "
            "rewind it as the user that it belongs to"
        ) from None


def unbar(folder: Path) -> None:
    """Take away the mode by which no server starts on a data folder. Raises OSError."""
    if is_barred(folder):
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) & ~BAR)


def follow(folder: Path, sql: Sql, passfile: Path | None) -> None:
    """Have the server of a data folder follow another one as a standby when it is started. Raises OSError."""
    path = folder / AUTO
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    kept = [line for line in lines if LEFT_OVER.match(line) is None]
    own = f"primary_conninfo = {_quoted(conninfo(sql, passfile))}\n"
    own += "primary_slot_name = ''\nrecovery_target_timeline = 'latest'\n"
    path.write_bytes(b"\n".join(kept) + b"\n# By `blackstart standby rewind`.\n" + own.encode())
    (folder / "recovery.signal").unlink(missing_ok=True)
    (folder / SIGNAL).touch(mode=0o600)


def conninfo(sql: Sql, passfile: Path | None) -> str:
    """Return the connection by which a standby streams from a server, without a password. `passfile`: libpq's."""
    words = {"user": sql.user, **parameters(sql), **({"passfile": str(passfile.absolute())} if passfile else {})}
    return make_conninfo("", **words)


def _run(plan: Plan, journal: Journal) -> None:
    """Run pg_rewind; the folder is that of a standby then. Raises Unchanged, else RestoreFailed, with its reason."""
    old, sql = plan.old, plan.promoted.sql
    words = {"user": sql.user, "dbname": sql.database, "application_name": "blackstart rewind", **parameters(sql)}
    with private_place(old.programs.tags) as place, plan.shelf.command(place) as command:
        passwords, config = place / "pgpass", place / "config"
        passwords.touch(mode=0o600)
        passwords.write_text(f"*:*:*:*:{for_password_file(sql.password_ref)}\n")
        config.write_text(_config(old, command))
        _recover(old, config, journal)
        bar(old.folder)
        done = old.programs.end(
            "pg_rewind", f"--target-pgdata={old.folder}", f"--source-server={make_conninfo('', **words)}",
            "--restore-target-wal", "--no-ensure-shutdown", f"--config-file={config}", "--write-recovery-conf",
            "--progress",
            variables={"PGPASSFILE": str(passwords)},
        )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if COPIED.fullmatch(line) is None]
    for line in lines:
        journal.mark("log", "pg_rewind", line=line)
    if done.returncode:
        said = next((found[1] for line in lines if (found := SAID.match(line))), lines[-1] if lines else "no reason")
        said = "; ".join((said, *plan.shelf.failed))
        if not any(BEGUN in line for line in lines):
            raise Unchanged(f"{old.folder}: pg_rewind: {said}; nothing was rewound")
        raise RestoreFailed(
            f"{old.folder}: pg_rewind: {said}; no server can be started on it, by its mode, before a rewind has ended "
            f"well: rewind it again, or {ANEW}; "
            f"its settings are in {old.aside.place}"
        )


def _recover(old: OldPrimary, config: Path, journal: Journal) -> None:
    """Have the server of a folder that was not shut down recover, as pg_rewind would. Raises Unchanged.

    pg_rewind itself would do it on a folder on which no server can be started any more.
    """
    if control_of(old.programs, old.folder)["Database cluster state"] in CLEAN:
        return
    words = ("--single", "-F", "-D", str(old.folder), "-c", f"config_file={config}", MAINTENANCE[0])
    done = old.programs.end("postgres", *words)
    lines = done.stderr.splitlines()
    for line in lines:
        journal.mark("log", "postgres --single", line=line)
    # Where there is no such database it has recovered and ended nevertheless.
    if done.returncode and control_of(old.programs, old.folder)["Database cluster state"] not in CLEAN:
        said = next((line for line in lines if FATAL.search(line)), lines[-1] if lines else "no reason")
        raise Unchanged(f"{old.folder}: its crash recovery failed: {said}")


def _config(old: OldPrimary, command: str) -> str:
    """Return the configuration with which pg_rewind has a crashed server recover, and asks for the restore_command.

    The old primary's own may load libraries, or remove WAL that is needed to find the pages that were changed.
    """
    settings = {
        **limits_of(old.control),
        **sizes_of(old.control),
        "restore_command": command,
        "wal_log_hints": old.control["wal_log_hints setting"],
        "wal_keep_size": "1TB",
        "wal_recycle": "off",
        "archive_mode": "off",
        "dynamic_shared_memory_type": "mmap",
        "lc_messages": "C",
    }
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())


def fetch_lacking(plan: Plan, place: Path) -> Sequence[Path]:
    """Write WAL into a folder that the replay needs, and that neither pg_wal nor the promoted server has; return it.

    Raises RestoreFailed where it is nowhere, HarnessError.
    """
    label = plan.old.folder / "backup_label"  # of pg_rewind
    rewound = label.exists()
    start = plan.old.redo
    if rewound:
        found = START.search(label.read_text())
        if found is None:
            raise RestoreFailed(f"{label}: names no position; {ANEW}")
        start = read_lsn(found[1])
    folder, shelf, promoted = plan.old.folder, plan.shelf, plan.promoted
    streamed = {*ask_row(promoted.sql, HAS)[0]}
    end, fetched = read_lsn(promoted.identity.position), list[Path]()
    for at in range(segment_start(start, shelf.size), end, shelf.size):
        timeline = timeline_at(promoted.history, promoted.identity.timeline, at + shelf.size)
        name = segment_name(timeline, at, shelf.size)
        # Without a rewind a file may end with what the old primary had written: it is whole up to there alone.
        whole = rewound or at + shelf.size <= plan.shared
        if name in streamed or (whole and (folder / "pg_wal" / name).is_file()):
            continue
        if (data := shelf.read(name, whole=True)) is None:
            why = "".join(f" ({line})" for line in shelf.failed)
            raise RestoreFailed(
                f"{folder}: WAL {name} is neither on the promoted server nor in the repository{why}; {ANEW}"
            )
        fetched.append(place / name)
        fetched[-1].touch(mode=0o600)
        fetched[-1].write_bytes(data)
    return fetched


def _quoted(value: str) -> str:
    """Return a value as a file of PostgreSQL's settings has it."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
