"""The control matrix of the records, and their trend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import REPORTS, Reports, app, say, say_table, say_text, warn

if TYPE_CHECKING:
    from harness.core.controls import Row

FOUND = 1  # exit code: a control is not covered


class Form(StrEnum):
    """Form of the matrix."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"
    HTML = "html"


@app.command()
def controls(
    reports: Reports = REPORTS,
    form: Annotated[Form, typer.Option("--format", help="Form of the matrix.")] = Form.TABLE,
    file: Annotated[
        Path | None, typer.Option("--file", help="Intervals and exceptions [default: controls.toml, if there is one].")
    ] = None,
    at: Annotated[str, typer.Option("--at", help="The day of the matrix, YYYY-MM-DD [default: now].")] = "",
    only: Annotated[list[str] | None, typer.Option("--only", help="A framework or a control; repeatable.")] = None,
) -> None:
    """Show which controls the drills are evidence for. Last pass, age against its interval, gaps, open findings.

    Exit code 1: a control is stale, has an open finding, or was never shown. The records are not verified here:
    `blackstart record verify` does that.
    """
    from harness.controls import forms
    from harness.controls.declared import FILE, read_declared
    from harness.controls.runs import read_runs
    from harness.core.clock import SYSTEM
    from harness.core.controls import SKEW, Status, findings, matrix

    now = moment(at)
    declared = read_declared(file, Path(FILE), max(now, SYSTEM.wall()))
    runs, left_out = read_runs(reports)
    for line in left_out:
        warn(f"blackstart: not counted: {line}")
    for run in runs:
        if run.ended - max(now, SYSTEM.wall()) > SKEW:
            when = f"{run.ended:%Y-%m-%d}"
            warn(f"blackstart: not counted: {run.record}: it ended in the future ({when}); look at the clocks")
    rows = chosen(matrix(runs, declared.exempts, now, declared.intervals), only or [])
    wanted = {row.control.id for row in rows}
    found = [one for one in findings(runs, declared.exempts, now) if not only or wanted & set(one.run.controls)]
    if form is Form.TABLE:
        say_table(forms.HEAD, forms.cells(rows))
        for line in forms.lines_of(found):
            say(f"finding: {line}")
    else:
        shapes = {Form.MARKDOWN: forms.as_markdown, Form.JSON: forms.as_json, Form.HTML: forms.as_html}
        say_text(shapes[form](rows, found, now))
    if any(row.status not in (Status.COVERED, Status.EXCEPTION) for row in rows) or any(one.open for one in found):
        raise typer.Exit(FOUND)


def moment(day: str) -> datetime:
    """Return the end of a day, UTC, or the present for ""; raises UsageError."""
    from harness.core.clock import SYSTEM
    from harness.core.errors import UsageError

    if not day:
        return SYSTEM.wall()
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1, seconds=-1)
    except ValueError:
        raise UsageError(f"--at {day}: not a day; write YYYY-MM-DD") from None


def chosen(rows: tuple[Row, ...], only: list[str]) -> tuple[Row, ...]:
    """Return the rows of the named frameworks and controls, all without a name. Raises UsageError."""
    from harness.core.errors import UsageError
    from harness.estate.mistakes import nearest

    known = {name for row in rows for name in (row.control.id, row.control.framework)}
    for name in only:
        if name not in known:
            raise UsageError(f"--only {name}: no control or framework of that name{nearest(name, known)}")
    return tuple(row for row in rows if not only or row.control.id in only or row.control.framework in only)
