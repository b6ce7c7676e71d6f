"""Commands about an estate that is up, or that is to be brought back."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event as Flag
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from harness.backup.build import describe, orchestrator_of
from harness.backup.schedule import run_schedule
from harness.cli.app import RUNS, AsJson, ConfigFile, LiveFile, Reports, app, err, out
from harness.cli.existing import backup_existing
from harness.core.clock import SYSTEM
from harness.core.journal import MemoryJournal
from harness.drill.up import hold_open
from harness.estate import state_file as live
from harness.estate.config import load_config
from harness.estate.secrets import Secrets
from harness.evidence.folder import RecordFolder
from harness.evidence.journal import JournalFile
from harness.evidence.terminal import Progress
from harness.recovery import recover as disaster
from harness.recovery.recover import release_live


@app.command()
def up(config: ConfigFile = Path("estate.toml"), at: LiveFile = live.LIVE) -> None:
    """Start the example estate and keep it up until Ctrl-C."""
    hold_open(load_config(config), RUNS, at, out.print)


@app.command()
def backup(config: ConfigFile = Path("estate.toml"), at: LiveFile = live.LIVE) -> None:
    """Take one full backup now: of the primary declared under [existing], else of the estate that is up."""
    loaded = load_config(config)
    if loaded.existing is not None and loaded.existing.primary is not None:
        backup_existing(loaded)
        return
    receipt = orchestrator_of(loaded, live.read_live(at), Progress(err).event).back_up()
    out.print(f"{receipt.path}  {receipt.committed_at:%Y-%m-%d %H:%M:%S} UTC  {receipt.size} bytes  {receipt.digest}")


@app.command()
def schedule(config: ConfigFile = Path("estate.toml"), at: LiveFile = live.LIVE) -> None:
    """Take backups whenever the declared schedule fires, until Ctrl-C."""
    loaded = load_config(config)
    work = orchestrator_of(loaded, live.read_live(at), Progress(err).event)
    err.print(f"schedule: {loaded.backup.schedule} (UTC); Ctrl-C ends it", style="dim")
    run_schedule(loaded.backup.schedule, work.back_up, work.journal, Flag())


@app.command()
def backups(at: LiveFile = live.LIVE, as_json: AsJson = False) -> None:
    """List committed backups: id, time, age, size, ratio, what is inside."""
    here = live.read_live(at)
    repository = live.repository_at(live.address(here.offsite), Secrets(Path(here.secrets)), here.estate)
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
    at: LiveFile = Path(".blackstart/recovered.json"),
) -> None:
    """The real disaster: bring the estate back on the DR site, and leave it up with outward actions held."""
    loaded = load_config(config)
    disaster.require_name(loaded, estate)
    how = disaster.require_down(witness, fenced)
    folder = RecordFolder.make(reports.resolve(), f"recover {estate}")
    journal = JournalFile(folder.path / "journal.jsonl", listener=Progress(err).event)
    journal.mark("primary down", estate, how=how)
    run = (RUNS / folder.path.name).resolve()
    done = disaster.recover(loaded, live.address(offsite), Secrets(secrets.resolve()), run, folder.logs, journal)
    done.live.write(at)
    held = "; ".join(action for entry in done.live.held for action in entry.actions)
    out.print(f"RECOVERED {estate} from {done.backup_id} (data up to {done.snapshot_at}) in {done.seconds:.1f} s")
    out.print(f"front door: {done.live.public}; held back: {held or 'nothing'}")
    out.print(f"record: {folder.path}; let go what is held with `blackstart release`; end it with `blackstart sweep`")


@app.command()
def release(config: ConfigFile = Path("estate.toml"), at: LiveFile = Path(".blackstart/recovered.json")) -> None:
    """Let the recovered estate act on the world again: what `recover` held back is undone."""
    here = live.read_live(at)
    release_live(load_config(config), here, MemoryJournal()).write(at)
    out.print(f"released: {', '.join(entry.service for entry in here.held) or 'nothing was held'}")
