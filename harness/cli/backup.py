"""Commands that take and list backups."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.app import (
    ESTATE,
    AsJson,
    ConfigFile,
    LiveFile,
    app,
    progress,
    runs,
    say,
    say_event,
    say_json,
    say_table,
    warn,
)

if TYPE_CHECKING:
    from harness.backup.orchestrator import BackupOrchestrator
    from harness.core.journal import Journal
    from harness.estate.config import Config
    from harness.repository.catalogue import Receipt, Repository

LIVE = Path(".blackstart/live.json")
NOT_UP = "start an estate with `blackstart up`, or name its state file with --live"
# What of an estate is in a backup and what is not: key in JSON -> what a line begins with.
COVERAGE = {"covered": "covered", "uncovered": "not covered", "excluded": "excluded", "missing": "missing"}


@app.command()
def backup(config: ConfigFile = ESTATE, at: LiveFile = LIVE) -> None:
    """Take one full backup now. Of the primary declared under [existing], else of the running estate."""
    from harness.estate.config import load_config

    loaded = load_config(config)
    if has_primary(loaded):
        back_up_existing(loaded)
        return
    receipt = running(loaded, at).back_up()
    say(f"{receipt.path}  {receipt.committed_at:%Y-%m-%d %H:%M:%S} UTC  {receipt.size} bytes  {receipt.digest}")
    say_coverage(coverage_of(receipt))


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

    receipt = take_backup(config, runs(), say_event)
    say_json(
        {
            "kind": "receipt",
            "backup": receipt.backup_id,
            "path": receipt.path,
            "committed_at": receipt.committed_at.isoformat(timespec="seconds"),
            "size": receipt.size,
            "digest": receipt.digest,
            **coverage_of(receipt),
        }
    )


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
def backups(config: ConfigFile = ESTATE, at: LiveFile = LIVE, as_json: AsJson = False) -> None:
    """List committed backups, their age and their size. With what of the estate is in each, and what is not.

    Of the repository declared under [existing.offsite], else of the running estate.
    """
    from harness.backup.build import describe
    from harness.core.clock import SYSTEM
    from harness.estate.config import load_config

    rows = [describe(entry, SYSTEM.wall()) for entry in repository_of(load_config(config), at).committed()]
    if as_json:
        say(json.dumps(rows, indent=2))
        return
    columns = ("id", "snapshot", "age_s", "stored_bytes", "ratio")
    head = (*columns, *COVERAGE.values(), "inside")
    say_table(head, [(*(str(row.get(name, "")) for name in columns), *counts(row), inside(row)) for row in rows])
    newest = next((row for row in rows if "damaged" not in row), None)
    if newest is not None:
        say(f"of the newest, {newest['id']}:")
        say_coverage(newest)


def repository_of(config: Config, at: Path) -> Repository:
    """Return the declared repository, which is only read, else that of the running estate. Raises UsageError."""
    from harness.estate.existing import repository_to_read
    from harness.estate.state_file import connect, read_state

    if config.existing is not None and config.existing.offsite is not None:
        return repository_to_read(config)
    return connect(config, read_state(at, NOT_UP)).repository


def counts(row: Mapping[str, object]) -> tuple[str, ...]:
    """Return how many things are covered, not covered, excluded and missing."""
    found = (row.get(key) for key in COVERAGE)
    return tuple(str(len(one)) if isinstance(one, list | tuple) else "" for one in found)


def inside(row: Mapping[str, object]) -> str:
    """Return what a backup holds, or why it cannot be read."""
    found = row.get("inside") or row.get("damaged")
    return ", ".join(map(str, found)) if isinstance(found, list | tuple) else f"DAMAGED: {found}"
