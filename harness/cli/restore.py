"""Command that restores a physical backup: a whole server into a folder, or one database of it into another server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import ESTATE, REPORTS, ConfigFile, LiveFile, Reports, app, progress, runs, say
from harness.cli.backup import LIVE

if TYPE_CHECKING:
    from harness.core.journal import Journal
    from harness.physical.choice import Wanted
    from harness.physical.restore import PointInTime
    from harness.physical.single.restore import One
    from harness.repository.catalogue import Repository

PASSWORD = "env:PGPASSWORD"  # noqa: S105 - a reference, not the secret


@app.command()
def restore(
    into: Annotated[Path | None, typer.Option(help="A new or empty folder for the data directory.")] = None,
    to: Annotated[
        str, typer.Option(help="latest, time=..., lsn=..., xid=..., name=..., before=xid:... (or lsn:, time:).")
    ] = "latest",
    backup_id: Annotated[str, typer.Option("--backup", help="The backup to begin with.")] = "",
    timeline: Annotated[int, typer.Option(help="The timeline to end on, by default the newest.")] = 0,
    database: Annotated[str, typer.Option(help="One database alone; needs --into-database.")] = "",
    into_database: Annotated[
        str,
        typer.Option(help="postgresql://USER@HOST:PORT/NAME, without a password: an empty or a new database."),
    ] = "",
    password: Annotated[str, typer.Option(help="Of that user: env:NAME or file:PATH.")] = PASSWORD,
    no_owner: Annotated[bool, typer.Option("--no-owner", help="Leave owners and privileges out.")] = False,
    scratch: Annotated[
        Path | None, typer.Option(help="Where the server of --database is restored meanwhile [default: with the runs].")
    ] = None,
    elsewhere: Annotated[
        bool,
        typer.Option("--elsewhere", help="With --into: it will run elsewhere; what this machine lacks is no obstacle."),
    ] = False,
    config: ConfigFile = ESTATE,
    at: LiveFile = LIVE,
    reports: Reports = REPORTS,
) -> None:
    """Restore to a point in time, a server or one database.

    From a physical backup, those that it builds on, and the WAL after it. Each is verified, and the target is known to
    be reached before the server is promoted. It is stopped afterwards; start it with your own configuration.
    With --database the server is restored into a scratch folder, and removed again when the database was copied.
    Exit code 1 when the archive is contradicted: behind a hole there may be later writes.
    """
    from harness.backup.verify import Where, reader_of
    from harness.cli.keys import folder_of
    from harness.core.errors import UsageError
    from harness.estate.config import load_config
    from harness.estate.existing import new_run
    from harness.physical.choice import Wanted
    from harness.physical.target import read_target

    if (into is None) == (not database) or bool(database) != bool(into_database):
        raise UsageError("restore: name --into FOLDER for the server, or --database and --into-database for one of it")
    loaded, wanted = load_config(config), Wanted(read_target(to), backup_id, timeline)
    run = new_run(runs(), "restore")
    if into is not None:
        target: Path | One = into
    else:
        target = one_database(database, into_database, password, scratch or run, owners=not no_owner)
    repository, key = reader_of(loaded, Where(at, folder_of("dr", loaded, config), reports))
    if key is None:
        raise UsageError("restore: DR's private key (recipient.pem) is not among the declared secrets; add it there")
    say_findings(carry_out(repository, key, wanted, target, run, elsewhere=elsewhere))


def carry_out(
    repository: Repository, key: bytes, wanted: Wanted, target: Path | One, run: Path, *, elsewhere: bool
) -> PointInTime:
    """Restore into a folder, or one database, and return the server that was restored. Raises as the restore does.

    `run`: a new run folder; a sweep of it ends the server, where this command is killed.
    """
    from harness.estate.existing import workspace
    from harness.evidence.journal import JournalFile
    from harness.substrate.embedded.process_tree import Owner

    logs = runs().parent / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    shown = progress()
    journal = JournalFile(logs / f"{run.name}.jsonl", listener=shown.event)
    with workspace(run, logs):
        tags = Owner(run, "restore/replay").tags
        if isinstance(target, Path):
            return restored_server(repository, key, wanted, target, journal, shown.bytes, tags, elsewhere=elsewhere)
        return restored_one(repository, key, wanted, target, journal, shown.bytes, tags)


def restored_server(
    repository: Repository,
    key: bytes,
    wanted: Wanted,
    into: Path,
    journal: Journal,
    count: Callable[[int], None],
    tags: Mapping[str, str],
    *,
    elsewhere: bool,
) -> PointInTime:
    """Restore a server into a folder, print what was done and what to do before its use, and return it."""
    from harness.physical.restore import restore as restore_server

    done = restore_server(repository, key, wanted, into, journal, count, tags=tags, elsewhere=elsewhere)
    say(f"RESTORED {restored(done)}: {done.folder}")
    for line in done.warnings:
        say(f"NOTE: {line}")
    return done


def one_database(database: str, url: str, password: str, scratch: Path, *, owners: bool) -> One:
    """Return which database goes where. Raises UsageError for a URL that names no database, HarnessError."""
    from harness.estate.server_tables import sql_of_url
    from harness.physical.single.into import look_into
    from harness.physical.single.restore import One

    sql, name = sql_of_url("--into-database", url, password)
    return One(database, look_into(sql, name), scratch, owners)


def restored_one(
    repository: Repository,
    key: bytes,
    wanted: Wanted,
    one: One,
    journal: Journal,
    count: Callable[[int], None],
    tags: Mapping[str, str],
) -> PointInTime:
    """Restore one database, print what was done, and return the server that it is of.

    `count`: is told the bytes that are written; `tags`: variables by which a sweep finds the programs.
    """
    from harness.physical.single.restore import restore_one

    done = restore_one(repository, key, wanted, one, journal, count, tags)
    say(f"RESTORED database {one.database} of {restored(done.server)}: {one.into.name} at {one.into.sql}")
    say(f"NOTE: {done.tables} tables with {done.rows} rows were compared and are equal")
    for line in (*done.uncommitted, *done.lost):
        say(f"NOTE: {line}")
    return done.server


def restored(done: PointInTime) -> str:
    """Return what was restored, as a person reads it."""
    from harness.core.wal import show_lsn

    last = f", last transaction {done.last_commit.isoformat()}" if done.last_commit else ""
    return f"{done.backup_id} to {show_lsn(done.position)} on timeline {done.timeline}{last}"


def say_findings(done: PointInTime) -> None:
    """Print what contradicts the archive; it ends the command with exit code 1."""
    for line in done.findings:
        say(f"FINDING: {line}")
    if done.findings:
        raise typer.Exit(1)
