"""HTML and SVG pages from jinja2 templates. Everything from a record is escaped; no page has a script."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.core.duration import figure, human
from harness.core.record import NOBODY, DrillRecord
from harness.core.text import visible
from harness.core.told import Told
from harness.evidence.report.chart import chart_of
from harness.evidence.report.view import RecordView, view_of, visible_parts
from harness.evidence.told import read_told

BACKTICKS = re.compile(r"`([^`\n]+)`")
FILES = (
    "record.json",
    "journal.jsonl",
    "ledger.jsonl",
    "phases.svg",
    "told.json",
    "statement.dsse.json",
    "statement.json",
)  # linked where they exist


@dataclass(frozen=True, slots=True)
class Link:
    """A file of the record, relative to the page."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One drill on a page: its record, and what is beside it in the record folder."""

    view: RecordView
    told: tuple[Told, ...] = ()
    signed_off: str = NOBODY
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario of the run that left no record: `status` as in Allure, or `did not end`."""

    name: str
    status: str

    @property
    def as_expected(self) -> bool:
        """Whether it passed."""
        return self.status == "passed"


def entry_of(record: DrillRecord, folder: Path, page: Path, signed_off: str = NOBODY) -> Entry:
    """Return the entry of a record whose files are in `folder`, for a page in the folder `page`."""
    links = tuple(
        Link(name, Path(os.path.relpath(folder / name, page)).as_posix()) for name in FILES if (folder / name).is_file()
    )
    return Entry(view_of(record), visible_parts(read_told(folder)), visible(signed_off), links)


def overview(
    entries: Sequence[Entry], details: str, others: Sequence[Scenario] = (), not_drilled: Sequence[str] = ()
) -> str:
    """Return the first page of a run. `details`: file name of Allure's page; `others`: scenarios without a record."""
    good = sum(one.view.as_expected for one in entries) + sum(one.as_expected for one in others)
    return _page(
        "overview.html",
        entries=entries,
        others=others,
        details=details,
        not_drilled=not_drilled,
        good=good,
        bad=len(entries) + len(others) - good,
    )


def certificate(entry: Entry, digest: str) -> str:
    """Return the certificate of one drill: one page. `digest`: the SHA-256 of its record.json."""
    return _page("certificate.html", entry=entry, view=entry.view, digest=digest)


def waterfall(record: DrillRecord) -> str:
    """Return an SVG with one bar for each phase and the line of the promised RTO."""
    view = view_of(record)
    chart = chart_of(view)
    return _page("waterfall.svg", view=view, chart=chart, row=26, top=66, left=130, plot=640)


def when(wall: str) -> str:
    """Return a wall time for people, as it is when it is none."""
    try:
        return f"{datetime.fromisoformat(wall).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return wall


def code(text: str) -> Markup:
    """Return text for a page: what stands in backticks is set as code, all of it is escaped."""
    return Markup(BACKTICKS.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def render(template: str, **values: object) -> str:
    """Return a page of another package, from a template of this one."""
    return _page(template, **values)


def _page(template: str, **values: object) -> str:
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("harness.evidence.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"human": human, "figure": figure, "when": when, "code": code}
    made.globals |= {"chart_of": chart_of}
    # The style is a file of ours: inside <style> it must not be escaped.
    style = made.loader.get_source(made, "style.css")[0] if made.loader else ""
    made.globals["style"] = Markup(style)  # noqa: S704 - a constant file
    return made
