"""Commands that take and list backups."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import (
    ESTATE,
    REPORTS,
    AllowUnsigned,
    AsJson,
    ConfigFile,
    LiveFile,
    Reports,
    app,
    progress,
    runs,
    say,
    say_event,
    say_json,
    say_table,
    say_text,
    warn,
)

if TYPE_CHECKING:
    from harness.backup.orchestrator import BackupOrchestrator
    from harness.core.journal import Journal
    from harness.estate.config import Config
    from harness.repository.catalogue import Receipt

LIVE = Path(".blackstart/live.json")
NOT_UP = "start an estate with `blackstart up`, or name its state file with --live"
# What of an estate is in a backup and what is not: key in JSON -> what a line begins with.
COVERAGE = {"covered": "covered", "uncovered": "not covered", "excluded": "excluded", "missing": "missing"}


class Mode(StrEnum):
    """How the databases are backed up."""

    LOGICAL = "logical"
    PHYSICAL = "physical"
    INCREMENTAL = "incremental"


@app.command()
def backup(
    config: ConfigFile = ESTATE,
    at: LiveFile = LIVE,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="logical: dumps and files. physical: the database server's data directory alone. incremental: what "
            "changed in it since the newest physical or incremental one (PostgreSQL 17 or newer, summarize_wal = on)."
        ),
    ] = None,
) -> None:
    """Take one backup now. Of the primary declared under [existing], else of the running estate.

    Without --mode as [backup] mode declares it: dumps and files, and with "physical" a base backup after them.
    """
    from harness.estate.config import load_config
    from harness.estate.variants import with_mode

    loaded = load_config(config)
    if mode not in (None, Mode.LOGICAL):
        back_up_physical(loaded, at, incremental=mode is Mode.INCREMENTAL)
        return
    if mode is Mode.LOGICAL:
        loaded = with_mode(loaded, "logical")
    if has_primary(loaded):
        back_up_existing(loaded)
        return
    receipt = running(loaded, at).back_up()
    say(f"{receipt.path}  {receipt.committed_at:%Y-%m-%d %H:%M:%S} UTC  {receipt.size} bytes  {receipt.digest}")
    say_coverage(coverage_of(receipt))


def back_up_physical(config: Config, at: Path, *, incremental: bool) -> None:
    """Take a physical or an incremental backup, and print events and receipt as lines of JSON. A failure is alerted."""
    from secrets import token_hex

    from harness.alerts.alerts import Alerts
    from harness.backup.build import told_journal
    from harness.backup.orchestrator import alert, reported
    from harness.physical.backup import take_physical
    from harness.physical.source import source_of

    alerts, logs = Alerts(config.backup.alerts), runs().parent / "logs" / f"backup-{token_hex(4)}"
    journal = told_journal(config.estate.name, alerts, logs, say_event)

    def lost(alarm: str) -> None:
        alert(alerts, journal, f"Backups of {config.estate.name} were lost", alarm)

    with reported(config.estate.name, alerts, journal):
        say_json(told(take_physical(source_of(config, at, NOT_UP), journal, lost, incremental=incremental)))


def has_primary(config: Config) -> bool:
    """Return whether a primary is declared under [existing]; without one the running example estate is meant."""
    return config.existing is not None and config.existing.primary is not None


def coverage_of(receipt: Receipt) -> dict[str, Sequence[str]]:
    """Return what of the estate is in a backup, and what is not."""
    return {key: getattr(receipt.contents, key) for key in COVERAGE}


def say_coverage(coverage: Mapping[str, object]) -> None:
    """Print one line for each thing that is in a backup or is not."""
    for key, word in COVERAGE.items():
        found = coverage[key]
        for line in found if isinstance(found, list | tuple) else ():
            say(f"{word}: {line}")


def running(config: Config, at: Path) -> BackupOrchestrator:
    """Return the Backup Orchestrator of the running estate whose state file is `at`. Raises UsageError."""
    from harness.backup.build import backups_in
    from harness.estate.state_file import connect, read_state

    state = read_state(at, NOT_UP)
    return backups_in(Path(state.logs), connect(config, state), progress().event)


def back_up_existing(config: Config) -> None:
    """Back up the declared primary, and print events and receipt as lines of JSON: programs read a CronJob's log."""
    from harness.backup.build import take_backup

    say_json(told(take_backup(config, runs(), say_event)))


def told(receipt: Receipt) -> dict[str, object]:
    """Return a receipt as it is printed."""
    return {
        "kind": "receipt",
        "backup": receipt.backup_id,
        "path": receipt.path,
        "committed_at": receipt.committed_at.isoformat(timespec="seconds"),
        "size": receipt.size,
        "digest": receipt.digest,
        **coverage_of(receipt),
    }


@app.command()
def schedule(config: ConfigFile = ESTATE, at: LiveFile = LIVE) -> None:
    """Take backups on the declared schedule, until Ctrl-C. Of the primary declared under [existing], as `backup`."""
    from threading import Event

    from harness.backup.build import journal_in
    from harness.backup.check import require_schedule
    from harness.backup.schedule import run_schedule
    from harness.estate.config import load_config

    loaded = load_config(config)
    if has_primary(loaded):
        for line in require_schedule(loaded):
            warn(f"blackstart: {line}")
        journal: Journal = journal_in(runs().parent / "logs", say_event)
        job: Callable[[], object] = partial(back_up_existing, loaded)
    else:
        work = running(loaded, at)
        journal, job = work.journal, work.back_up
    warn(f"schedule: {loaded.backup.schedule} (UTC); Ctrl-C ends it")
    run_schedule(loaded.backup.schedule, job, journal, Event())


@app.command()
def backups(
    config: ConfigFile = ESTATE,
    at: LiveFile = LIVE,
    as_json: AsJson = False,
    allow_unsigned: AllowUnsigned = False,
    reports: Reports = REPORTS,
) -> None:
    """List committed backups, their age and their size. With what of the estate is in each, and what is not.

    Of the repository declared under [existing.offsite], else of the running estate. What is in a backup is sealed: it
    is listed where DR's key is among the declared secrets.
    """
    from harness.backup.build import described_backups
    from harness.backup.verify import Where, reader_of
    from harness.cli.keys import folder_of
    from harness.estate.config import load_config

    loaded = load_config(config)
    repository, key = reader_of(loaded, Where(at, folder_of("dr", loaded, config), reports, allow_unsigned))
    rows, findings = described_backups(repository, key)
    if as_json:
        say_text(json.dumps(rows, indent=2))
    else:
        columns = ("id", "number", "mode", "parent", "snapshot", "age_s", "stored_bytes", "ratio", "opened", "restored")
        head = (*columns, *COVERAGE.values(), "inside")
        say_table(head, [(*(str(row.get(name, "")) for name in columns), *counts(row), inside(row)) for row in rows])
        newest = next((row for row in rows if "damaged" not in row), None)
        if newest is not None and "inside" in newest:
            say(f"of the newest, {newest['id']}:")
            say_coverage(newest)
    for line in findings:
        warn(f"FINDING: {line}")
    if findings:
        raise typer.Exit(1)


def counts(row: Mapping[str, object]) -> tuple[str, ...]:
    """Return how many things are covered, not covered, excluded and missing."""
    found = (row.get(key) for key in COVERAGE)
    return tuple(str(len(one)) if isinstance(one, list | tuple) else "" for one in found)


def inside(row: Mapping[str, object]) -> str:
    """Return what a backup holds, or why it cannot be read."""
    found = row.get("inside") or row.get("damaged")
    if found is None:
        return "sealed: DR's key is not here"
    return ", ".join(map(str, found)) if isinstance(found, list | tuple) else f"NOT TRUSTED: {found}"
