"""Commands about an estate that is up, or that is to be brought back."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event as Flag
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from harness.backup.build import backups_in, describe
from harness.backup.orchestrator import BackupOrchestrator
from harness.backup.schedule import run_schedule
from harness.cli.app import RUNS, AsJson, ConfigFile, LiveFile, Reports, app, err, out
from harness.cli.existing import backup_existing
from harness.core.clock import SYSTEM
from harness.core.journal import MemoryJournal
from harness.drill.up import run_until_stopped
from harness.estate import state_file
from harness.estate.config import Config, load_config
from harness.estate.secrets import Secrets
from harness.evidence.folder import RecordFolder
from harness.evidence.journal import JournalFile
from harness.evidence.terminal import Progress
from harness.recovery import recover as recover_estate

NOT_UP = "start an estate with `blackstart up`, or name its state file"


def running(config: Config, at: Path) -> BackupOrchestrator:
    """Return the Backup Orchestrator of the estate whose state file is `at`."""
    state = state_file.read_state(at, NOT_UP)
    return backups_in(Path(state.logs), state_file.connect(config, state), Progress(err).event)


@app.command()
def up(config: ConfigFile = Path("estate.toml"), at: LiveFile = state_file.UP) -> None:
    """Start the example estate and keep it up until Ctrl-C."""
    run_until_stopped(load_config(config), RUNS, at, out.print)


@app.command()
def backup(config: ConfigFile = Path("estate.toml"), at: LiveFile = state_file.UP) -> None:
    """Take one full backup now: of the primary declared under [existing], else of the estate that is up."""
    loaded = load_config(config)
    if loaded.existing is not None and loaded.existing.primary is not None:
        backup_existing(loaded)
        return
    receipt = running(loaded, at).back_up()
    out.print(f"{receipt.path}  {receipt.committed_at:%Y-%m-%d %H:%M:%S} UTC  {receipt.size} bytes  {receipt.digest}")


@app.command()
def schedule(config: ConfigFile = Path("estate.toml"), at: LiveFile = state_file.UP) -> None:
    """Take backups whenever the declared schedule fires, until Ctrl-C."""
    loaded = load_config(config)
    work = running(loaded, at)
    err.print(f"schedule: {loaded.backup.schedule} (UTC); Ctrl-C ends it", style="dim")
    run_schedule(loaded.backup.schedule, work.back_up, work.journal, Flag())


@app.command()
def backups(config: ConfigFile = Path("estate.toml"), at: LiveFile = state_file.UP, as_json: AsJson = False) -> None:
    """List committed backups: id, time, age, size, ratio, what is inside."""
    repository = state_file.connect(load_config(config), state_file.read_state(at, NOT_UP)).repository
    rows = [describe(entry, SYSTEM.wall()) for entry in repository.committed()]
    if as_json:
        out.print_json(json.dumps(rows))
        return
    table = Table(box=None)
    columns = ("id", "snapshot", "age_s", "stored_bytes", "ratio")
    for column in (*columns, "inside"):
        table.add_column(column, no_wrap=column != "inside", overflow="fold")
    for row in rows:
        inside = row.get("inside") or row.get("damaged")
        shown = ", ".join(inside) if isinstance(inside, list) else f"DAMAGED: {inside}"
        table.add_row(*(str(row.get(column, "")) for column in columns), shown)
    Console(width=max(out.width, 120)).print(table)


@app.command()
def recover(
    offsite: Annotated[str, typer.Option(help="HOST:PORT of the offsite store.")],
    secrets: Annotated[Path, typer.Option(help="Folder with dr/, offsite/, clients/ and names/.")],
    estate: Annotated[str, typer.Option(prompt="Name of the estate to recover")],
    config: ConfigFile = Path("estate.toml"),
    witness: Annotated[str, typer.Option(help="A URL of the primary that must fail.")] = "",
    fenced: Annotated[str, typer.Option(help="Why the primary cannot come back.")] = "",
    reports: Reports = Path("reports"),
    at: LiveFile = state_file.RECOVERED,
) -> None:
    """The real disaster: bring the estate back on the DR site, and leave it up with outbound actions contained."""
    loaded = load_config(config)
    recover_estate.require_name(loaded, estate)
    how = recover_estate.require_down(witness, fenced)
    folder = RecordFolder.make(reports.resolve(), f"recover {estate}")
    journal = JournalFile(folder.path / "journal.jsonl", listener=Progress(err).event)
    journal.mark("primary down", estate, how=how)
    run = (RUNS / folder.path.name).resolve()
    done = recover_estate.recover(
        loaded, state_file.address(offsite), Secrets(secrets.resolve()), run, folder.logs, journal
    )
    done.state.write(at)
    held = "; ".join(action for entry in done.state.contained for action in entry.actions)
    out.print(f"RECOVERED {estate} from {done.backup_id} (data up to {done.snapshot_at}) in {done.seconds:.1f} s")
    out.print(f"front door: {done.state.public}; contained: {held or 'nothing'}")
    out.print(
        f"record: {folder.path}; enable outbound actions with `blackstart release`; end it with `blackstart sweep`"
    )


@app.command()
def release(config: ConfigFile = Path("estate.toml"), at: LiveFile = state_file.RECOVERED) -> None:
    """Let the recovered estate act on the world again: what `recover` contained is released."""
    here = state_file.read_state(at, "`blackstart recover` writes it")
    recover_estate.release(load_config(config), here, MemoryJournal()).write(at)
    out.print(f"released: {', '.join(entry.service for entry in here.contained) or 'nothing was contained'}")
