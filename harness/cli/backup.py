"""Commands that take and list backups."""

from __future__ import annotations

import json
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
    from harness.estate.config import Config

LIVE = Path(".blackstart/live.json")
NOT_UP = "start an estate with `blackstart up`, or name its state file with --live"


@app.command()
def backup(config: ConfigFile = ESTATE, at: LiveFile = LIVE) -> None:
    """Take one full backup now. Of the primary declared under [existing], else of the running estate."""
    from harness.estate.config import load_config

    loaded = load_config(config)
    if loaded.existing is not None and loaded.existing.primary is not None:
        backup_existing(loaded)
        return
    receipt = running(loaded, at).back_up()
    say(f"{receipt.path}  {receipt.committed_at:%Y-%m-%d %H:%M:%S} UTC  {receipt.size} bytes  {receipt.digest}")


def running(config: Config, at: Path) -> BackupOrchestrator:
    """Return the Backup Orchestrator of the running estate whose state file is `at`. Raises UsageError."""
    from harness.backup.build import backups_in
    from harness.estate.state_file import connect, read_state

    state = read_state(at, NOT_UP)
    return backups_in(Path(state.logs), connect(config, state), progress().event)


def backup_existing(config: Config) -> None:
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
        }
    )


@app.command()
def schedule(config: ConfigFile = ESTATE, at: LiveFile = LIVE) -> None:
    """Take backups on the declared schedule, until Ctrl-C."""
    from threading import Event

    from harness.backup.schedule import run_schedule
    from harness.estate.config import load_config

    loaded = load_config(config)
    work = running(loaded, at)
    warn(f"schedule: {loaded.backup.schedule} (UTC); Ctrl-C ends it")
    run_schedule(loaded.backup.schedule, work.back_up, work.journal, Event())


@app.command()
def backups(config: ConfigFile = ESTATE, at: LiveFile = LIVE, as_json: AsJson = False) -> None:
    """List committed backups: id, age, size, what is inside."""
    from harness.backup.build import describe
    from harness.core.clock import SYSTEM
    from harness.estate.config import load_config
    from harness.estate.state_file import connect, read_state

    repository = connect(load_config(config), read_state(at, NOT_UP)).repository
    rows = [describe(entry, SYSTEM.wall()) for entry in repository.committed()]
    if as_json:
        say(json.dumps(rows, indent=2))
        return
    columns = ("id", "snapshot", "age_s", "stored_bytes", "ratio")
    say_table((*columns, "inside"), [(*(str(row.get(name, "")) for name in columns), inside(row)) for row in rows])


def inside(row: dict[str, object]) -> str:
    """Return what a backup holds, or why it cannot be read."""
    found = row.get("inside") or row.get("damaged")
    return ", ".join(map(str, found)) if isinstance(found, list | tuple) else f"DAMAGED: {found}"
