"""The command that checks a declaration, and the checks that other commands begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import ESTATE, AsJson, ConfigFile, app, say, say_json
from harness.cli.backup import Mode

if TYPE_CHECKING:
    from harness.estate.report import Report

WRONG, FOUND = 2, 1  # exit codes: a mistake in the declaration; a finding about the estate


@app.command()
def check(
    config: ConfigFile = ESTATE,
    as_json: AsJson = False,
    mode: Annotated[
        Mode | None, typer.Option(help="For backups of that mode, in place of [backup] mode: what each needs is asked.")
    ] = None,
) -> None:
    """Find all mistakes of a declaration and its estate. And what would not be in a backup.

    Nothing is started or changed. Exit code 2: the declaration is wrong; 1: findings about the estate; 0: neither.
    """
    report = report_of(config, mode)
    if as_json:
        findings = [{"where": d.where, "what": d.what, "declaration": d.declared} for d in report.defects]
        warnings = [{"where": d.where, "what": d.what} for d in report.warnings]
        listed = {"covered": report.covered, "excluded": report.excluded, "store": report.store}
        say_json({"config": str(config), "findings": findings, "warnings": warnings, **listed})
    else:
        for line in [f"{config}: {defect}" for defect in report.defects]:
            say(line)
        for line in (
            [f"covered: {one}" for one in report.covered]
            + [f"store: {one}" for one in report.store]
            + [f"excluded: {one}" for one in report.excluded]
            + [f"warning: {one}" for one in report.warnings]
        ):
            say(line)
        count = len(report.defects)
        say(f"{count} finding{'s' * (count > 1)}" if count else f"{config}: nothing is wrong")
    if report.defects:
        raise typer.Exit(WRONG if any(defect.declared for defect in report.defects) else FOUND)


def report_of(file: Path, mode: Mode | None = None) -> Report:
    """Return everything that is wrong; after mistakes in the declaration nothing more is asked. Raises UsageError.

    `mode`: of the backups, None as declared.
    """
    from harness.backup.check import check_offsite, check_primary
    from harness.backup.coverage import check_coverage
    from harness.estate.config import read_config
    from harness.estate.isolation import uncovered_paths
    from harness.estate.report import Report, check_services
    from harness.estate.variants import with_mode
    from harness.restore_test.check import check_dr

    report = Report()
    config, mistakes = read_config(file)
    for mistake in mistakes:
        where, named, what = mistake.partition(": ")
        report.wrong(where if named else "top level", what if named else mistake)
    if config is None:
        return report
    if mode is not None:
        config = with_mode(config, "logical" if mode is Mode.LOGICAL else "physical")
    services = check_services(report, config)
    for line in uncovered_paths(config):
        path, _, what = line.partition(": ")
        report.found(path, what)
    if config.existing is not None:
        backed_up_here = config.existing.primary is not None and config.existing.dr is None  # else for its identity
        check_offsite(report, config, writes=backed_up_here)
        check_primary(report, config, services, incremental=mode is Mode.INCREMENTAL)
        check_coverage(report, config, services)
        check_dr(report, config, services)
    return report
