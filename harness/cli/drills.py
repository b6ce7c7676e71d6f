"""Commands about drills: their parts, their runs, their reports, what they leave."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import (
    ANY_WORDS,
    REPORTS,
    ExampleFile,
    LiveFile,
    Reports,
    app,
    estate_or_example,
    runs,
    say,
    say_table,
    warn,
)
from harness.cli.backup import LIVE

PARTS_MB = 2500  # what all parts take, with what their installers need meanwhile


@app.command()
def doctor() -> None:
    """List every part and its version; say what is missing.

    And where each part came from, and what to type for a missing one.
    """
    from harness.core.errors import HarnessError
    from harness.parts.doctor import survey

    parts = survey()
    rows = [(p.name, p.version, p.where, "" if p.present else f"missing: {p.remedy}") for p in parts]
    say_table(("part", "version", "from", ""), rows)
    if lacking := [part.name for part in parts if not part.present]:
        raise HarnessError(f"missing parts: {', '.join(lacking)}; run `blackstart prepare`")


@app.command()
def prepare(config: ExampleFile = None) -> None:
    """Install what an estate needs, and prepare it. Both once, at the same time, into the cache."""
    from harness.core.parallel import in_parallel
    from harness.drill.template import is_prepared
    from harness.drill.template import prepare as prepare_estate
    from harness.estate.config import load_config
    from harness.estate.registry import parts_of
    from harness.estate.space import of_estate, require_space, require_writable
    from harness.parts.cache import cache_home
    from harness.parts.doctor import survey
    from harness.parts.install import install

    loaded = load_config(estate_or_example(config))
    require_writable({cache_home(): "name another folder with BLACKSTART_CACHE"})
    wanted = parts_of(loaded)
    needed = 0 if all(part.present for part in survey() if part.name in wanted) else PARTS_MB
    needed += 0 if is_prepared(loaded) else of_estate(0) + of_estate(loaded.data.bulk_mb)
    require_space({cache_home(): needed}, "make room, or name a folder on another disk with BLACKSTART_CACHE")

    def parts() -> None:
        install(wanted, say=warn)

    def estate() -> None:
        warn(f"estate ready: {prepare_estate(loaded, warn).path.name}")

    in_parallel({"parts": parts, "estate": estate})


@app.command()
def up(config: ExampleFile = None, at: LiveFile = LIVE) -> None:
    """Keep the example estate running until Ctrl-C."""
    from harness.drill.up import run_until_stopped
    from harness.estate.config import load_config
    from harness.estate.space import of_drill, require_space, require_writable

    loaded = load_config(estate_or_example(config))
    require_writable({runs(): "name another folder with BLACKSTART_RUNS"})
    require_space({runs(): of_drill(loaded.data.bulk_mb)}, "make room, or name another disk with BLACKSTART_RUNS")
    run_until_stopped(loaded, runs(), at, say)


@app.command(context_settings=ANY_WORDS)
def drill(context: typer.Context, config: ExampleFile = None, reports: Reports = REPORTS) -> None:
    """Run a drill and build its report.

    The drill is the site loss, unless features are named. Without a features/ or an estate.toml in this folder, those
    that come with blackstart are used. All other arguments go to pytest: --substrate=docker, --approver=NAME, -k, -m.
    """
    from harness.cli.features import run_pytest
    from harness.estate.config import load_config

    load_config(estate_or_example(config))  # its mistakes are one line, before pytest starts
    options = ["-q", "-s", "-p", "no:randomly", "--progress", f"--reports={reports.resolve()}"]
    before = set(runs_in(reports))
    code = run_pytest(options, context.args, config)
    made = [run for run in runs_in(reports) if run not in before and any(run.glob("*-result.json"))]
    if made:  # its own, which is not the newest by name where a clock was wrong
        say(f"report: {built(made[-1])}")
    raise typer.Exit(code)


@app.command(context_settings=ANY_WORDS)
def faults(context: typer.Context) -> None:
    """List the faults that a feature may name."""
    from harness.cli.features import run_pytest

    raise typer.Exit(run_pytest(["-q", "--faults"], context.args, whole=True))


def who_signed_off(folder: Path) -> str:
    """Return who signed off a record, in one line, or why that cannot be read."""
    from harness.attestation.sign_off import signed_off_by
    from harness.core.errors import Unreadable

    try:
        return signed_off_by(folder)
    except Unreadable as error:
        return f"not readable: {error}"


def latest_report(reports: Path) -> Path:
    """Build the HTML of the newest run and return its path. Raises UsageError when there is no run.

    A run of the future is of another clock, and the newest only where there is no other.
    """
    from harness.core.clock import SYSTEM
    from harness.core.controls import SKEW
    from harness.core.errors import UsageError

    found = runs_in(reports)
    if not found:
        raise UsageError(f"{reports}/runs: no drill has run yet; run `blackstart drill`")
    until = (SYSTEM.wall() + SKEW).strftime("%Y%m%dT%H%M%SZ")
    return built(([run for run in found if run.parent.name < until] or found)[-1])


def built(run: Path) -> Path:
    """Build the HTML of a folder of Allure results and return its path."""
    from harness.evidence.report.build import build_report

    return build_report(run.resolve(), run.parent.resolve() / "report", signed_off=who_signed_off)


@app.command()
def report(reports: Reports = REPORTS) -> None:
    """Build the HTML report of the newest run."""
    say(str(latest_report(reports)))


@app.command()
def sweep(run: Annotated[Path | None, typer.Argument(help="A run folder; all of them when left out.")] = None) -> None:
    """Remove what an interrupted drill or a recovery left. Processes, files, and what is on a container engine."""
    from harness.core.errors import UsageError
    from harness.substrate.common.error_collector import ErrorCollector, mark
    from harness.substrate.embedded.sweep import state_files
    from harness.substrate.embedded.undo_journal import harness_of
    from harness.substrate.embedded.undo_journal import runs as runs_left
    from harness.substrate.sweep import require_run

    if run is not None and not run.is_dir():
        if run.resolve() not in runs_on_engine():
            raise UsageError(f"{run}: no such run")
        mark(run)  # the folder was removed, and not what the engine has of the run
    if run is not None:
        require_run(run, runs())
    cleanup = ErrorCollector()  # a run that cannot be swept keeps none of the others
    for folder in [run] if run else runs_left(runs()):
        if run is None and (harness := harness_of(folder)) is not None:
            say(f"{folder}: skipped: in use by process {harness.pid}; pass the folder to sweep it anyway")
            continue
        if run is None and (state := next(state_files(folder, "dr"), None)) is not None:
            say(
                f"{folder}: skipped: a recovered DR site ({state}), which clients may use; pass the folder to remove it"
            )
            continue
        with cleanup.step():
            sweep_all_of(folder)
    cleanup.raise_errors()
    for folder in () if run else runs_on_engine():
        say(f"{folder}: is not here, and has things on the container engine; pass the folder to sweep them")


@app.command()
def abort(run: Annotated[Path, typer.Argument(help="The run folder of the work.")]) -> None:
    """End a drill, a recovery or a restore test that is at work.

    As Ctrl-C does: it clears up, and its record says UNKNOWN. What it could not clear up is swept, but never a DR site
    that it has recovered meanwhile.
    """
    from harness.core.errors import UsageError
    from harness.substrate.embedded.sweep import state_files
    from harness.substrate.interrupt import interrupt
    from harness.substrate.sweep import require_run

    if not run.is_dir():
        raise UsageError(f"{run}: no such run")
    require_run(run, runs())
    run = run.resolve()
    pid = interrupt(run)
    if pid is None:
        raise UsageError(f"{run}: nothing works in it; `blackstart sweep {run}` removes what is left of it")
    say(f"{run}: process {pid} was interrupted, and has ended")
    if (state := next(state_files(run, "dr"), None)) is not None:
        say(f"{run}: kept: a recovered DR site ({state}), which clients may use; `blackstart sweep {run}` removes it")
    elif run.is_dir():
        sweep_all_of(run)


def sweep_all_of(run: Path) -> None:
    """Sweep a run, and clear the existing site on which its restore test was killed.

    Raises Refused, changing nothing, while a restore test is at that site; HarnessError for what is left.
    """
    from harness.restore_test.undo import alone_on_site, clear_interrupted
    from harness.substrate.sweep import sweep_run

    with alone_on_site(run):
        done = sweep_run(run)
        cleared = clear_interrupted(run)
    if cleared:
        sweep_run(run)  # its journal was kept until then
    say("; ".join((f"{run}: {done}", *cleared)))


def runs_on_engine() -> tuple[Path, ...]:
    """Return the runs whose folder is gone and that have something on the engine; none without a client of engines."""
    from harness.substrate.sweep import lost_runs

    try:
        return lost_runs()
    except ModuleNotFoundError:
        return ()


@app.command("refine")
def refine_command(record: Annotated[Path | None, typer.Argument()] = None, reports: Reports = REPORTS) -> None:
    """List proposed changes to the procedure, from a record.

    From the newest record, unless one is named; each proposal has its evidence.
    """
    from harness.core.errors import Unreadable, UsageError
    from harness.evidence import refine
    from harness.evidence.folder import read_record

    if record is not None and not record.exists():
        raise UsageError(f"{record}: no such record")
    try:
        found = read_record(record or newest_record(reports))
    except Unreadable as error:
        raise UsageError(str(error)) from None
    proposals = refine.refine(found)
    for proposal in proposals:
        say(f"- {proposal.change}: {proposal.evidence}")
    if not proposals:
        say("nothing to propose: every phase is quick, nothing was left out")


def newest_record(reports: Path) -> Path:
    """Return the newest record folder: by the chain, which no clock orders, else by name. UsageError without one."""
    from harness.core.errors import Unreadable, UsageError
    from harness.evidence.folder import records
    from harness.evidence.format.chain import read_chain

    found = {folder.name: folder for folder in records(reports)}
    if not found:
        raise UsageError(f"{reports}/drills: no record there; run `blackstart drill`")
    try:
        links, _ = read_chain(reports / "drills")
    except Unreadable as error:
        warn(f"blackstart: the newest record is that of the last name: {error}")
        links = ()
    return found[[*found, *(link.record for link in links if link.record in found)][-1]]


def runs_in(reports: Path) -> list[Path]:
    """Return the folders of Allure results, oldest first."""
    return sorted((reports / "runs").glob("*/allure-results"))
