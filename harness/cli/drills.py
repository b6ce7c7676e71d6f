"""Commands about drills: their parts, their runs, their reports, what they leave."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from harness.cli.app import RUNS, ConfigFile, Reports, app, err, out
from harness.core.errors import HarnessError, UsageError
from harness.core.parallel import in_parallel
from harness.core.record import DrillRecord
from harness.drill.template import prepare as prepare_estate
from harness.estate.config import load_config
from harness.evidence import refine
from harness.evidence.folder import read_record, records
from harness.evidence.html import build_report
from harness.parts.doctor import survey
from harness.parts.install import install
from harness.substrate.common.error_collector import mark
from harness.substrate.embedded.start_journal import harness_of
from harness.substrate.embedded.start_journal import runs as runs_left
from harness.substrate.sweep import lost_runs, sweep_run

SITE_LOSS = "features/estate/site_loss.feature"


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
    """Run a drill (site loss, unless features are named), build its report, and say where it is.

    What else is said goes to pytest: --substrate=docker, --substrate=kind --strategy=cold, -k, -m.
    """
    named = [
        *context.args,
        *([] if any(".feature" in word or Path(word).is_dir() for word in context.args) else [SITE_LOSS]),
    ]
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
def sweep(
    run: Annotated[Path | None, typer.Argument(help="A run folder; all of them when left out.")] = None,
) -> None:
    """Clear what an interrupted drill or a recovery left: processes, files, and what is on a container engine."""
    if run is not None and not run.is_dir():
        if run.resolve() not in lost_runs():
            raise UsageError(f"{run}: no such run")
        mark(run)  # somebody removed it, and not what the engine has
    for folder in [run] if run else runs_left(RUNS):
        if run is None and (pid := harness_of(folder)) is not None:
            out.print(f"{folder}: left alone, process {pid} is at work on it; name the folder to sweep it all the same")
            continue
        out.print(f"{folder}: {sweep_run(folder)}")
    for folder in () if run else lost_runs():
        out.print(f"{folder}: is not here, and has things on the container engine; name it to have them swept")


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
