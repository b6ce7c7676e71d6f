"""The control matrix as rows of text, Markdown, JSON and HTML."""

import json
import re
from collections.abc import Sequence
from datetime import datetime

from harness.core.controls import Finding, Row
from harness.core.duration import human
from harness.evidence.report.pages import render

HEAD = ("control", "framework", "status", "last pass", "age", "interval", "by", "what")


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return the cells of each row, in the order of HEAD."""
    return [
        (
            row.control.id,
            row.control.framework,
            f"{row.status}" + (f" ({row.unknown} UNKNOWN)" if row.unknown else ""),
            f"{row.last.ended:%Y-%m-%d}" if row.last else "never",
            human(row.age.total_seconds()) if row.age is not None else "",
            f"{row.control.interval.days} d",
            row.last.record if row.last else "",
            row.control.title,
        )
        for row in rows
    ]


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding: scenario, record, reason, and what puts it aside."""
    return [
        f"{one.run.drill} ({one.run.substrate}), {one.run.record}: {one.run.reason}; {_state(one)}" for one in findings
    ]


def _state(one: Finding) -> str:
    if one.exempt is None:
        return "open until the same scenario passes"
    if one.expired:
        return f"open: the exception by {one.exempt.by} ended on {one.exempt.until}"
    return f"put aside by {one.exempt.by} until {one.exempt.until}: {one.exempt.reason}"


def as_markdown(rows: Sequence[Row], findings: Sequence[Finding], now: datetime) -> str:
    """Return the matrix as a Markdown page."""
    body = ["| " + " | ".join(_cell(c) for c in row) + " |" for row in (HEAD, ("---",) * len(HEAD), *cells(rows))]
    found = [f"- {_cell(line)}" for line in lines_of(findings)] or ["None."]
    return "\n".join([f"# Controls on {now:%Y-%m-%d}", "", *body, "", "## Findings", "", *found, ""])


def _cell(text: str) -> str:
    """Return a text as a cell: what is in it of others is no link, no picture, no code and no HTML."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`\[\]|*])", r"\\\1", plain)


def as_json(rows: Sequence[Row], findings: Sequence[Finding], now: datetime) -> str:
    """Return the matrix as JSON, durations in days."""
    return json.dumps(
        {
            "at": now.isoformat(timespec="seconds"),
            "controls": [_row(row) for row in rows],
            "findings": [_finding(one) for one in findings],
        },
        indent=1,
        ensure_ascii=False,
    )


def _row(row: Row) -> dict[str, object]:
    return {
        "control": row.control.id,
        "framework": row.control.framework,
        "title": row.control.title,
        "status": str(row.status),
        "last_pass": row.last.ended.isoformat(timespec="seconds") if row.last else None,
        "record": row.last.record if row.last else None,
        "age_days": round(row.age.total_seconds() / 86400, 2) if row.age is not None else None,
        "interval_days": row.control.interval.days,
        "unknown_runs": row.unknown,
        "findings": [one.run.record for one in row.findings],
    }


def _finding(one: Finding) -> dict[str, object]:
    return {
        "scenario": one.run.drill,
        "estate": one.run.estate,
        "substrate": one.run.substrate,
        "record": one.run.record,
        "since": one.run.ended.isoformat(timespec="seconds"),
        "reason": one.run.reason,
        "open": one.open,
        "exception_by": one.exempt.by if one.exempt else None,
        "exception_until": one.exempt.until.isoformat() if one.exempt else None,
    }


def as_html(rows: Sequence[Row], findings: Sequence[Finding], now: datetime) -> str:
    """Return the matrix as an HTML page without a script."""
    table = list(zip(rows, cells(rows), strict=True))
    return render("controls.html", table=table, head=HEAD, findings=lines_of(findings), now=f"{now:%Y-%m-%d %H:%M} UTC")
