"""Commands of the day of the real disaster."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import ESTATE, REPORTS, AllowUnsigned, ConfigFile, LiveFile, Reports, app, progress, runs, say

RECOVERED = Path(".blackstart/recovered.json")


@app.command()
def recover(
    offsite: Annotated[str, typer.Option(help="HOST:PORT of the offsite store.")],
    secrets: Annotated[Path, typer.Option(help="Folder with dr/, offsite/, clients/ and names/.")],
    estate: Annotated[str, typer.Option(prompt="Name of the estate to recover")],
    config: ConfigFile = ESTATE,
    witness: Annotated[str, typer.Option(help="A URL of the primary that must fail.")] = "",
    fenced: Annotated[str, typer.Option(help="Why the primary cannot come back.")] = "",
    allow_unsigned: AllowUnsigned = False,
    reports: Reports = REPORTS,
    at: LiveFile = RECOVERED,
) -> None:
    """Recover the estate on the DR site after a real disaster.

    It is left running there, with outward actions disabled until `blackstart release`.
    """
    from harness.estate.config import load_config
    from harness.estate.secrets import Secrets
    from harness.estate.state_file import address
    from harness.estate.target_lock import alone_at
    from harness.evidence.folder import RecordFolder
    from harness.evidence.journal import JournalFile
    from harness.recovery import recover as disaster

    loaded = load_config(config)
    disaster.require_name(loaded, estate)
    how = disaster.require_down(witness, fenced)
    folder = RecordFolder.make(reports.resolve(), f"recover {estate}")
    journal = JournalFile(folder.path / "journal.jsonl", listener=progress().event)
    journal.mark("primary down", estate, how=how)
    run = (runs() / folder.path.name).resolve()
    source = disaster.Source(address(offsite), folder.witness, allow_unsigned)
    with alone_at(f"the DR site of {estate} on this machine", folder.path.name):
        done = disaster.recover(loaded, source, Secrets(secrets.resolve()), run, folder.logs, journal)
    done.state.write(at)
    held = "; ".join(action for entry in done.state.contained for action in entry.actions)
    say(f"RECOVERED {estate} from {done.backup_id} (data up to {done.snapshot_at}) in {done.seconds:.1f} s")
    for line in done.findings:
        say(f"FINDING: {line}")
    for line in done.uncovered:
        say(f"NOT IN THE BACKUP: {line}")
    say(f"front door: {done.state.public}; outward actions disabled: {held or 'none'}")
    say(f"record: {folder.path}; enable outward actions with `blackstart release`; end it with `blackstart sweep`")


@app.command()
def release(config: ConfigFile = ESTATE, at: LiveFile = RECOVERED) -> None:
    """Enable the outward actions of the recovered estate. Mail, crons, schedules, deliveries."""
    from harness.core.journal import MemoryJournal
    from harness.estate.config import load_config
    from harness.estate.state_file import read_state
    from harness.recovery.recover import release as release_estate

    here = read_state(at, "name the file that `blackstart recover` wrote with --live")
    release_estate(load_config(config), here, MemoryJournal()).write(at)
    say(f"released: {', '.join(entry.service for entry in here.contained) or 'nothing was contained'}")
