"""Trend and certificates of records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import REPORTS, Reports, app, say, say_table, warn


@app.command()
def history(
    reports: Reports = REPORTS,
    drill: Annotated[str, typer.Option("--drill", help="A part of the drill's name [default: all drills].")] = "",
    last: Annotated[int, typer.Option("--last", min=1, help="How many runs of each drill.")] = 14,
) -> None:
    """Show the trend of each drill over its records. Verdict, RTO, RPO, exposure of its last runs."""
    from harness.core.errors import UsageError
    from harness.evidence.folder import read_records
    from harness.evidence.report.history import HEAD, lines_of
    from harness.evidence.report.view import view_of

    found, left_out = read_records(reports)
    for line in left_out:
        warn(f"blackstart: left out: {line}")
    wanted = [view for view in map(view_of, found.values()) if drill.lower() in view.drill.lower()]
    if not wanted:
        what = f" of a drill whose name has {drill!r}" if drill else ""
        raise UsageError(f"{reports}/drills: no record{what} there; run `blackstart drill`")
    for heading, rows in lines_of(wanted, last):
        say(heading)
        say_table(HEAD, rows)


@app.command()
def certificate(
    record: Annotated[Path | None, typer.Argument(help="A record folder [default: the newest].")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The page [default: certificate.html here].")] = None,
    reports: Reports = REPORTS,
) -> None:
    """Write the certificate of a drill. One HTML page without a script, to be printed."""
    from harness.cli.drills import newest_record, who_signed_off
    from harness.core.errors import Unreadable, UsageError
    from harness.evidence.folder import read_record
    from harness.evidence.format.record_file import sha256_of
    from harness.evidence.report.pages import certificate, entry_of

    found = record or newest_record(reports)
    folder = found if found.is_dir() else found.parent
    page = out or Path("certificate.html")
    try:
        entry = entry_of(read_record(folder), folder.resolve(), page.resolve().parent, who_signed_off(folder))
    except Unreadable as error:
        raise UsageError(str(error)) from None
    page.write_text(certificate(entry, sha256_of(folder / "record.json")), encoding="utf-8")
    say(str(page))
