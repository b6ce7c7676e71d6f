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
    from harness.estate.config import Config

LIVE = Path(".blackstart/live.json")


@app.command()
def backup(config: ConfigFile = ESTATE, at: LiveFile = LIVE) -> None:
    """Take one full backup now.

    Of the primary declared under [existing], else of the running estate.
    """
    from harness.backup.build import orchestrator_of
    from harness.estate.config import load_config
    from harness.estate.state_file import read_live

    loaded = load_config(config)
    if loaded.existing is not None and loaded.existing.primary is not None:
        backup_existing(loaded)
        return
    receipt = orchestrator_of(loaded, read_live(at), progress().event).back_up()
    say(f"{receipt.path}  {receipt.committed_at:%Y-%m-%d %H:%M:%S} UTC  {receipt.size} bytes  {receipt.digest}")


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

    from harness.backup.build import orchestrator_of
    from harness.backup.schedule import run_schedule
    from harness.estate.config import load_config
    from harness.estate.state_file import read_live

    loaded = load_config(config)
    work = orchestrator_of(loaded, read_live(at), progress().event)
    warn(f"schedule: {loaded.backup.schedule} (UTC); Ctrl-C ends it")
    run_schedule(loaded.backup.schedule, work.back_up, work.journal, Event())


@app.command()
def backups(at: LiveFile = LIVE, as_json: AsJson = False) -> None:
    """List committed backups: id, age, size, what is inside."""
    from harness.backup.build import describe
    from harness.core.clock import SYSTEM
    from harness.estate import state_file as live
    from harness.estate.secrets import Secrets

    here = live.read_live(at)
    repository = live.repository_at(live.address(here.offsite), Secrets(Path(here.secrets)), here.estate)
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
