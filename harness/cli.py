"""The `blackstart` command. Exit codes: 0 good, 1 broken promise or finding, 2 usage, 3 could not be carried out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event as Flag
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from harness.core.clock import SYSTEM
from harness.core.errors import BackupFailed, Finding, HarnessError, NoValidBackup, RestoreFailed, UsageError
from harness.core.journal import MemoryJournal
from harness.core.record import DrillRecord
from harness.estate import disaster, live, refine
from harness.estate.byhand import describe, hold_open, orchestrator_of, release_live
from harness.estate.config import load_config
from harness.estate.parallel import in_parallel
from harness.estate.prepare import prepare as prepare_estate
from harness.estate.schedule import run_schedule
from harness.estate.secrets import Secrets
from harness.evidence.folder import RecordFolder, read_record, records
from harness.evidence.html import build_report
from harness.evidence.journal import JournalFile
from harness.evidence.terminal import Progress
from harness.parts.doctor import survey
from harness.parts.install import install
from harness.repository.keys import new_pair
from harness.substrate.started import harness_of
from harness.substrate.started import runs as runs_left
from harness.substrate.started import sweep as sweep_run

app = typer.Typer(
    help="Proves, every night, that an estate can be brought back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(help="Recipient keys: what backups are sealed to.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)
# What typer raises for a mistyped command line; it exports only this one of its children.
Mistyped: type[Exception] = typer.BadParameter.__mro__[2]
SITE_LOSS = "features/estate/site_loss.feature"
RUNS = Path(os.environ.get("BLACKSTART_RUNS", ".blackstart/runs"))

ConfigFile = Annotated[Path, typer.Option("--config", help="The estate's declaration.")]
LiveFile = Annotated[Path, typer.Option("--live", help="File of the estate that is up.")]
Reports = Annotated[Path, typer.Option("--reports", help="Where records are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def exit_code(error: BaseException) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, UsageError):
        return 2
    if isinstance(error, Finding | BackupFailed | NoValidBackup | RestoreFailed):
        return 1
    return 3


def main() -> None:
    """Run the command; an error of the operator's or of the estate's is one line, never a traceback."""
    # What runs on this machine is reached without a proxy.
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
    # A shell starts what runs in its background with these ignored, and the programs of an estate would inherit that.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except Mistyped as error:
        err.print(f"blackstart: {error}; see `blackstart --help`", markup=False, highlight=False)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        err.print("blackstart: interrupted; nothing is left running")
        sys.exit(130)
    except (HarnessError, Finding) as error:
        err.print(f"blackstart: {error}", markup=False, highlight=False)
        sys.exit(exit_code(error))
    except OSError as error:
        err.print(f"blackstart: {error.filename or 'system'}: {error.strerror or error}", markup=False, highlight=False)
        sys.exit(3)


@app.command()
def doctor() -> None:
    """List every part, its version and where it came from; say what is missing and what to type."""
    table = Table()
    for column in ("part", "version", "from", ""):
        table.add_column(column)
    parts = survey()
    for part in parts:
        table.add_row(part.name, part.version, part.where, "" if part.present else f"missing: {part.remedy}")
    out.print(table)
    if lacking := [part.name for part in parts if not part.present]:
        raise HarnessError(f"missing parts: {', '.join(lacking)}; run `make setup`")


@app.command()
def prepare(config: ConfigFile = Path("estate.toml")) -> None:
    """Install what is missing and, meanwhile, prepare the example estate; both once, into the cache."""
    loaded = load_config(config)

    def say(line: str) -> None:
        err.print(line, style="dim", markup=False, highlight=False)

    def parts() -> None:
        install(say=say)

    def estate() -> None:
        say(f"estate ready: {prepare_estate(loaded, say).path.name}")

    in_parallel({"parts": parts, "estate": estate})


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def drill(context: typer.Context, reports: Reports = Path("reports")) -> None:
    """Run a drill (site loss, unless features are named), build its report, and say where it is."""
    named = context.args or [SITE_LOSS]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "-p",
        "no:randomly",
        "--progress",
        f"--reports={reports}",
    ]
    with subprocess.Popen([*command, *named]) as child:
        # Ctrl-C reaches the drill by itself; it is given the time to leave nothing behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = child.wait()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    newest = max((reports / "runs").glob("*/allure-results"), default=None)
    if newest is not None and any(newest.glob("*-result.json")):
        out.print(f"report: {latest_report(reports)}")
    raise typer.Exit({0: 0, 1: 1, 2: 130, 3: 3, 4: 2, 5: 2}.get(code, 3))


def latest_report(reports: Path) -> Path:
    """Build the HTML of the newest run and return its path."""
    found = sorted((reports / "runs").glob("*/allure-results"))
    if not found:
        raise UsageError(f"{reports}/runs: no drill has run yet; run `make drill`")
    return build_report(found[-1].resolve(), found[-1].parent.resolve() / "report")


@app.command()
def report(reports: Reports = Path("reports")) -> None:
    """Build the HTML report of the newest run."""
    out.print(str(latest_report(reports)))


@app.command()
def up(config: ConfigFile = Path("estate.toml"), at: LiveFile = live.LIVE) -> None:
    """Start the example estate and keep it up until Ctrl-C."""
    hold_open(load_config(config), RUNS, at, out.print)


@app.command()
def backup(config: ConfigFile = Path("estate.toml"), at: LiveFile = live.LIVE) -> None:
    """Take one full backup of the live primary, now."""
    receipt = orchestrator_of(load_config(config), live.read_live(at), Progress(err).event).back_up()
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


@keys_app.command("new")
def keys_new(name: str, private: Path, public: Path) -> None:
    """Make a recipient pair: NAME.pem (0600) into folder PRIVATE, NAME.pub into folder PUBLIC."""
    if private.resolve() == public.resolve():
        raise UsageError(f"{private}: the private half may not lie beside the public one, which the primary reads")
    for folder, suffix in ((private, "pem"), (public, "pub")):
        if (folder / f"{name}.{suffix}").exists():
            raise UsageError(
                f"{folder / name}.{suffix}: exists; a key that is lost cannot be made again, so none is overwritten"
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    halves = new_pair()
    for path, text, mode in (
        (private / f"{name}.pem", halves[0], 0o600),
        (public / f"{name}.pub", halves[1], 0o644),
    ):
        path.touch(mode=mode)
        path.write_bytes(text)
        out.print(str(path))


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


@app.command()
def sweep(
    run: Annotated[Path | None, typer.Argument(help="A run folder; all of them when left out.")] = None,
) -> None:
    """Clear what an interrupted drill or a recovery left: processes and files, from its own journal."""
    for folder in [run] if run else runs_left(RUNS):
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such run")
        if run is None and (pid := harness_of(folder)) is not None:
            out.print(f"{folder}: left alone, process {pid} is at work on it; name the folder to sweep it all the same")
            continue
        swept = sweep_run(folder)
        out.print(f"{folder}: {swept.processes} processes ended, {swept.files} files removed")


@app.command("refine")
def refine_command(record: Annotated[Path | None, typer.Argument()] = None, reports: Reports = Path("reports")) -> None:
    """List proposed changes to the procedure, each with its evidence, from a record (the newest one)."""
    if record is not None and not record.exists():
        raise UsageError(f"{record}: no such record")
    found: DrillRecord = read_record(record or newest_record(reports))
    proposals = refine.refine(found)
    for proposal in proposals:
        out.print(f"- {proposal.change}: {proposal.evidence}")
    if not proposals:
        out.print("nothing to propose: every phase is quick, nothing was left out")


def newest_record(reports: Path) -> Path:
    """Return the newest record folder; raises UsageError when there is none."""
    found = records(reports)
    if not found:
        raise UsageError(f"{reports}/drills: no record there; run `make drill`")
    return found[-1]
